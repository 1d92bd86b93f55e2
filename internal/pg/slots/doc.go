// Package slots looks up, creates and drops logical replication slots, and says why one is lost or
// held up.
//
// It does not read from a slot: the session that does is ingest's.
package slots
