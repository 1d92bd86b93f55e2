// Package pgoutput decodes what a walsender sends of a transaction: the messages of Postgres'
// output plugin pgoutput, in the protocol's version 1.
//
// It decodes in place, one message at a time, and allocates nothing for a row. It does no I/O,
// keeps nothing of a transaction and judges no order of messages. Bytes that are no message give
// an error, never a panic, and memory in proportion to what was sent.
package pgoutput
