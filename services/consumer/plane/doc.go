// Package plane answers the control plane's requests: shapes are asked for, looked up, listed and
// deleted, and the source's status is told. Every consumer process does, whether it holds the lease
// or not: requests change the registry, and the lease holder watches that. So the package knows no
// shape that runs, only what is stored of it.
//
// Many requests ask about the same table at the same time; they share the answers (asktogether.go),
// and the few connections to Postgres that are theirs. How requests come in and wait is in intake; where a row is, in whereis.
// What an answer may be and what it is refused with are in answer, allow and refuse, which these share.
package plane
