// Package consumer turns the change log into one log per shape. It takes
// snapshots, routes every op by table and predicate, appends fragment by
// fragment with commit markers, and serves the control plane.
//
// It is made of rooms, which architecture_test.go lists with the directions between them:
//
//	changelog   reading the change log
//	live        the main loop: live shapes, checkpoints, who holds which shape
//	follow      what becomes of a change in a shape's log; pure
//	shapelog    one shape's log
//	valuesets   what inner shapes select
//	create      shapes that are being created
//	fold        new beginnings of logs
//	group       shapes with subqueries, behind the main loop
//	course      how a shape goes on when its partition is taken over; pure
//	plane       the control plane
//	tables      tables made ready for shapes, and given back
//	filter      finds the shapes that a change may concern; pure
//	reconcile   what is written while value sets change; pure
//
// A row's way is changelog → live → follow → shapelog; a new shape's is plane → create → live.
// What is left here takes the leases (run.go, grants.go), wires the rooms (session.go), takes shapes in
// (recover.go, takein.go, comeback.go) and looks after the catalog.
//
// # Who owns what
//
// One process at a time holds a partition's lease and writes its shapes; all serve the control plane. Within
// the process one goroutine, the main loop, owns the live shapes; every other shape has an owner (live.Owner).
//
// A partition whose stream cannot be written leaves the session (live/drop.go): its
// shapes stop where they are. When it can be written again it comes back
// (comeback.go). How a shape goes on then is decided as at a start (package course,
// takein.go), which is the same for all partitions at once.
//
// # Durable order
//
//  1. the shape's record (registry): where its creation starts to read the
//     change log, and what its snapshot sees. A crash after it: the log is
//     empty, so the successor takes a new snapshot. It is written once the change log has shown
//     that it goes on with what the snapshot saw (changelog/proof.go): a log that has begun needs no proof.
//  2. segment messages, then the log's first entry, which refers to them. A
//     crash before that entry leaves a segment nobody refers to; the successor
//     writes another and purges it. A crash after it: the successor goes on
//     from 1's place.
//  3. log messages, each with the tail after it. A crash after some: the
//     successor reads the last one of each log and skips what is there, to the
//     op; a transaction cut in the middle is continued.
//  4. the partition's checkpoint, in the same stream and thus behind all it
//     speaks of. A crash before it costs reading some of the change log again. One that
//     is larger than a message goes in parts: a crash after some leaves the one before,
//     which is removed after the last part.
//  5. the record's state "live", after a checkpoint that covers the shape. A
//     crash before it: the successor re-reads the change log for this shape
//     from 1's place and skips what its log holds.
//  6. trimming the change log below every partition's checkpoint.
//
// A shape ends with its log's last word; then all before that is removed, and then its
// segments; then the record says so. A crash between leaves a log whose tail tells the
// successor to do the rest, and the control plane not to hand it out. A lease is given
// back last, when a last checkpoint is stored and the appenders are closed.
//
// A shape with subqueries leaves the main loop in a group (package group) whenever
// a set that it depends on may change. For it, between 3 and 4:
//
//	3a. entries of a unit, without a marker. A crash after some: the successor
//	   writes an abort entry and begins again with the unit's first transaction, at a
//	   snapshot of its own.
//	3b. the unit's marker, whose tail names what was deferred. A crash after it:
//	   the successor goes on with that, behind the unit's barrier.
//
// Its place in the change log is in the checkpoint, or, when that is older, in
// the tail of its last marker.
//
// A live shape's log is folded beside all that (package fold):
//
//	F1. the rows of a new snapshot, in a segment. A crash after some: nothing refers to them; the next fold of
//	   the shape purges them when it has stored its first rows, or the sweep if the shape has ended.
//	F2. the generation, behind them and behind the log up to its marker. A crash after it: the successor
//	   does F3.
//	F3. after a grace, what stands before the generation is purged from the log, then the rows of the one before. A
//	   crash between: the successor does both again, which the generation tells.
//
// It keeps no transaction: what it holds is one message of the change log, what
// that message becomes in shape logs (flushed at a limit), and the windows of
// messages in flight.
package consumer
