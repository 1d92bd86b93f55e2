// Package client reads Shapebus shapes in Go programs. It needs a connection
// to NATS and nothing else: it never talks to Postgres.
//
// A shape is found or made with [Client.Create], read as a stream of events
// with [Shape.Subscribe], or held in memory as rows with [Client.Watch].
//
// # What a subscription promises
//
//   - Each transaction comes whole: a [Begin], its [Change]s, a [Commit]. The
//     Begin is not handed out before a commit marker behind it is stored. Only
//     an [Abort] may stand in the Commit's place, which says that the server
//     began over: shapes with subqueries have such places in their logs.
//   - When the rows that a subquery selects change, several transactions come
//     as one, a unit ([Begin.Unit]).
//   - Transactions come in the order in which they were committed.
//   - Exactly once, relative to the position that the app keeps: whoever stores
//     [Commit.Position] together with its effects, and subscribes from there
//     again, gets every later transaction once and no earlier one.
//   - The rows of the initial snapshot come first, as one transaction of
//     inserts with [Begin.Snapshot] set and the zero offset.
//   - Memory is bounded by [Options.Buffer], the largest row and nothing else.
//     A transaction is never gathered, however large it is.
//   - A slow app slows nobody. What the server tells it meanwhile is dropped
//     and read from the log when it comes for it.
//   - A lost connection is waited out (nats.go reconnects) and what was missed is
//     read from the log. While reading fails the app is told so ([Stalled],
//     [View.Stalled]): what it has may not be up to date.
//   - A stream that was deleted and made again, or restored from a backup, is
//     noticed. Reading goes on if the log holds the offset, else it ends with a
//     [MustRefetchError]; the rows of an open transaction are taken back with an
//     [Abort].
//
// An iteration ends with an error when there is nothing more to come under this
// handle ([MustRefetchError]: make the shape again and start over), when its context
// ends, when something fails that trying again does not mend ([PermanentError]:
// permissions, no JetStream, a connection closed for good), or when the log is not
// what it must be ([BrokenLogError]). If that happens between a Begin and its Commit,
// what came since the Begin does not count.
//
// # Connections
//
// Several clients and subscriptions may share a connection. Catching up uses
// JetStream's direct gets, which the server answers in the connection's own
// read loop: an app that reads gigabytes of backlog beside latency-sensitive
// traffic should give the client a connection of its own.
package client
