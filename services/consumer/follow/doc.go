// Package follow decides what the changes of a table become in the logs of its shapes.
//
// A Follower is a shape as it follows its table: the clause, the columns and the place where it
// stands. A Router finds the followers that an op may concern in an index (package filter), offers
// them the op, and writes commit markers to the logs that stand inside a transaction. A follower
// whose clause has subqueries has an Outer: the value sets by which it judges rows, and its part in a
// unit (package reconcile).
//
// What comes of an op is gathered in the follower's log (package shapelog) and appended by others:
// the package does no I/O, knows no clock and waits for nobody. A router and its followers belong to
// one goroutine.
package follow
