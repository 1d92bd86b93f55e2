// Package materializer follows the logs of inner shapes, those that subqueries
// select from, and says for each of their commits what it changed in the sets of
// values they select: one verdict per commit marker. From time to time it writes
// a set as a whole, a base, so that nobody has to add up verdicts from the
// beginning.
//
// It asks nobody and is asked by nobody: it reads shape logs and the registry's
// records, and writes to VERDICTS-<source>-<p>. It keeps no transaction, only what
// a transaction has changed in the end: a count per distinct value, and, where a delete does
// not tell the value that goes, the value of each row.
//
// A message's way through the files: durable.go → session.go → set.go (the
// effects) → replica.go → state.go (the decisions) → store.go. Sets are kept in
// tables of package valueset, which are about memory.
//
// # Who owns what
//
// Processes announce themselves as members; rendezvous hashing (assign.go) gives
// each its partitions, and a lease per partition keeps two apart while they disagree. Within a
// partition one goroutine, the main loop in session.go, owns the live sets. A set
// that is being built, or writes a base, is parked: a goroutine of its own (set.go)
// owns it, reads the log with direct gets, and hands it to the main loop when it
// has caught up with what the durable delivered.
//
// # Durable order
//
//  1. The first base of a set, of the snapshot with which its log begins: rows and
//     values, then the announcement. A crash before the announcement leaves messages
//     that nobody refers to; the successor writes others under a larger number and
//     purges those.
//  2. Verdicts, each with its offset in a header, behind the base. A crash after
//     some: the successor builds the set from its last base, reads the log on from there, and
//     publishes from behind the last verdict on.
//  3. The durable is acknowledged: never past a place at which a followed log
//     stood inside a transaction, or a set had not caught up, or a verdict was not
//     stored. A crash before it costs being sent messages again, which the sets have
//     read from the log by then and pass over.
//  4. A later base, once the verdicts since the last one weigh more than it. Until
//     its announcement is stored, the one before counts.
//  5. The old base is purged. A crash before it: the next base purges both.
//  6. Verdicts are purged that the base covers and that no shape can ask for any
//     more. They are purged from the oldest on, so a crash leaves a suffix.
//
// A set is never ahead of what is stored: all of it can be built again from its
// base and its log. That is why the durable's place decides nothing but how much is
// sent again.
package materializer
