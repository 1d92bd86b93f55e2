// Package gateway serves shapes over HTTP to clients that know nothing of NATS: long polls and server-sent events of
// the Electric shape protocol, which unmodified clients of several languages speak.
//
// It meets the other services only in NATS, keeps nothing, and any number of processes give the same answers: what is larger than
// an answer is cut at places that follow from the log alone. Package shapes reads, package protocol knows the forms, and this one has the rules
// of requests: who may ask, for how long one waits, what may be cached.
//
// A client never sees half of a transaction as a whole one: only what ends with an up-to-date message counts, and that stands
// behind commit markers only, and not while transactions that a unit deferred are missing.
//
// It writes nothing but the deletion of a shape whose table was truncated, for which the protocol has no message, and of one that a client may delete.
package gateway
