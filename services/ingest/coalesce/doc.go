// Package coalesce makes the reads from a replication connection large. A walsender sends one
// packet for each row; letting some gather while data keeps coming saves both sides most of their
// system calls, and a lone transaction is not delayed.
//
// It knows bytes, not messages, and never waits for longer than a millisecond.
package coalesce
