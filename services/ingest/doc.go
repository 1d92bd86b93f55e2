// Package ingest is the service that turns a Postgres replication slot into
// the change log: pgoutput in, fragments of transactions out, exactly once and
// in commit order.
//
// It holds one fragment and a window of messages in flight, never a
// transaction. It does not filter, does not know shapes, and never holds
// Postgres back for a slow reader: WAL may go as soon as its fragments are
// stored. The slot is its lock: a second ingest on the same source is a hot
// standby until Postgres gives it the slot.
//
// # Durable order
//
// What is done in this order, what a crash after each step leaves, and who
// repairs it:
//
//  1. A table's relation goes to the relations bucket, under its fingerprint.
//     Left: a relation that no fragment names. Harmless; the next session
//     finds it there.
//  2. A relation that replaces another is announced on the control subject,
//     and its key oid.<oid> is set once the announcement is stored. Left: an
//     announcement without the key. The next session announces it again, which
//     readers who know the relation ignore.
//  3. Fragments are published, each message with the sequence it must follow.
//     Left: a prefix of the transaction, perhaps a prefix of a large message's
//     parts. The next session reads the log's tail and continues at the op;
//     parts without their end count as not there (package stream drops them).
//  4. JetStream acknowledges. Left: everything is stored, Postgres does not
//     know. The next session starts at the log's last LSN and leaves out what
//     is there.
//  5. The acknowledged LSN goes into the record _ingest in the relations
//     bucket. Left: a slot that lags behind the record, which is normal.
//  6. The sync interval passes: JetStream has written the messages and the
//     record to disk. If the machine loses power before that, the log's tail is
//     gone, and the slot still has it.
//  7. The LSN is confirmed to Postgres. A slot confirmed beyond the record was
//     moved or made again by somebody else; then the log gets a reset entry, which
//     ends the shapes that miss something, rather than a silent gap.
//
// What the log itself has lost, its next message tells: it names the LSN of what
// stood before it. Which history of the database the log tells, and in which order a
// new one begins, is in history.go.
package ingest
