// Package client reads Shapebus shapes in Go programs. It needs a connection
// to NATS and nothing else: it never talks to Postgres.
//
// # Where to begin
//
// [New] makes a [Client] from a connection, and [Client.Create] finds or makes the shape of a
// [Definition]. Then there are four ways to read, from the simplest to the most detailed:
//
//   - [Client.Watch] returns a [View]: the rows in memory, kept up to date, whatever happens to the shape.
//   - [Client.WatchGroup] returns a [Group]: several shapes that are looked at as of one moment.
//   - [Subscription.Transactions] iterates over whole transactions, for apps that apply each to
//     a store of their own.
//   - [Subscription.Events] iterates over everything there is: transactions in their parts, and whether
//     the app is up to date.
//
// A [Row] is read by column name as text ([Row.Text]) or scanned into Go types as pgx does ([Row.Scan],
// pgx.RowToStructByName). The programs under examples/ are whole apps: each survives being killed at any point.
//
// # Positions
//
// An app that keeps what it has read keeps its [Position] with it: the handle of the shape's incarnation and
// the offset of the last [Commit], as one value or one text. Kept in the same transaction as the effects, it
// makes them exactly once: [Shape.Subscribe] from there gives every later transaction once and no earlier one.
//
// A shape has several incarnations: when its table changes, it ends and is made again under another handle,
// with a snapshot of its own. A position of one incarnation is refused by another, with a [MustRefetchError].
// That error always means the same: create the shape again, and read it from the [Beginning]. Its snapshot
// comes as one transaction ([Begin.Snapshot]) that replaces everything kept before.
//
//	for {
//		shape, err := c.Create(ctx, def)
//		if err != nil {
//			return err
//		}
//		err = apply(ctx, shape.Subscribe(from, client.Options{}))
//		if _, over := errors.AsType[*client.MustRefetchError](err); !over {
//			return err
//		}
//		from = client.Beginning()
//	}
//
// A [View] is kept by its [Snapshot] (Snapshot.WriteTo, [ReadSnapshot]) and goes on from it
// ([ViewOptions]).
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
//   - The rows of the initial snapshot come first, as one transaction of
//     inserts with [Begin.Snapshot] set and the zero offset.
//   - Memory is bounded by [Options.Buffer], the largest row and nothing else.
//     A transaction is never gathered, however large it is.
//   - A slow app slows nobody. What the server tells it meanwhile is dropped
//     and read from the log when it comes for it.
//   - A lost connection is waited out (nats.go reconnects) and what was missed is
//     read from the log. While reading fails the app is told so ([Stalled],
//     [Subscription.Stalled], [View.Stalled]): what it has may not be up to date.
//   - A stream that was deleted and made again, or restored from a backup, is
//     noticed. Reading goes on if the log holds the offset, else it ends with a
//     [MustRefetchError]; the rows of an open transaction are taken back with an
//     [Abort].
//
// # Traces
//
// Where Shapebus traces transactions, Begin.Trace and Commit.Trace hold the context of a transaction's trace as W3C Trace
// Context writes it. An app that traces its own work with OpenTelemetry goes on with it:
//
//	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": commit.Trace})
//	ctx, span := tracer.Start(ctx, "apply")
//
// Without a trace the text is empty, and the span begins one of its own.
//
// # Errors
//
// What may pass is tried again, for as long as it takes. An iteration ends with an error when
// there is nothing more to come under this handle ([MustRefetchError]), when its context
// ends (the context's cause), when something fails that trying again does not mend ([PermanentError]:
// permissions, no JetStream, a connection closed for good), or when the log is not
// what it must be ([BrokenLogError]). If that happens between a Begin and its Commit,
// what came since the Begin does not count. Requests that are refused return a [RequestError]; it is ErrNotFound
// for a shape that is not there.
//
// # Contexts
//
// A context bounds the call that it is given to: a request, a wait, an iteration. Views and groups
// live until they are closed, not until the context of the request ends that made them.
//
// # Connections
//
// Several clients, views and subscriptions may share a connection. Catching up uses
// JetStream's direct gets, which the server answers in the connection's own
// read loop: an app that reads gigabytes of backlog beside latency-sensitive
// traffic should give the client a connection of its own. Connect with nats.MaxReconnects(-1).
//
// While large transactions are written, nats.go may report nats.ErrSlowConsumer to the connection's error
// handler, for a subscription on sb.<source>.live.<partition>.<handle>. That is harmless: what is
// dropped there is read from the log, and memory stays bounded because it is dropped. A handler that raises
// alarms can pass over it by the subject:
//
//	nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
//		if errors.Is(err, nats.ErrSlowConsumer) && sub != nil && client.IsLive(sub.Subject) {
//			return
//		}
//		log.Print(err)
//	})
package client
