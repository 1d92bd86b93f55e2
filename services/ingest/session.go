package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/ingest/coalesce"
	"github.com/shapebus/shapebus/services/ingest/tail"
)

// leaveTime is how long the end of a session may take to store, confirm and
// close what it has.
const leaveTime = 5 * time.Second

// answerTime is how long a session waits for each answer of JetStream. A stream without a leader gives none, and who asks
// it does not hear of the leader that it gets a moment later: asking again does.
const answerTime = 2 * time.Second

// unansweredMost is how often a server may not know JetStream before it counts
// as one that has none.
const unansweredMost = 5

// session is one replication connection with what belongs to it.
type session struct {
	g        *Ingest
	conn     *pgconn.PgConn
	wire     *coalesce.Conn
	server   server
	appender *stream.Appender
	window   *syncWindow
	publish  *publisher
	batch    *batch
	record   *recordStore
	confirm  *confirmer
}

// session runs until ctx ends, and then returns nil, or until there is trouble.
func (g *Ingest) session(ctx context.Context) error {
	if g.cfg.NATS.IsClosed() {
		return fatal(fmt.Errorf("the connection to NATS is closed for good: %w", nats.ErrConnectionClosed))
	}
	js, err := topology.JetStream(g.cfg.NATS, g.cfg.APIPrefix, jetstream.WithDefaultTimeout(answerTime))
	if err != nil {
		return err
	}
	if err := g.haveJetStream(ctx, js); err != nil {
		return err
	}
	now, err := g.prepare(ctx)
	if err != nil {
		return err
	}
	g.cfg.Failpoint(failpoint.SlotFree)
	if err := g.cfg.Source.EnsureRelations(ctx, js, g.cfg.ChangeLog.Replicas); err != nil {
		return err
	}
	kv, err := js.KeyValue(ctx, g.cfg.Source.RelationBucket())
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", g.cfg.Source.RelationBucket(), err)
	}
	s := &session{g: g, server: now}
	if s.record, err = loadRecord(ctx, kv); err != nil {
		return err
	}
	found, err := s.findLog(ctx, js)
	if err != nil {
		return err
	}
	if err := s.connect(ctx); err != nil {
		return err
	}
	defer s.close(ctx)
	id, err := identify(ctx, s.conn, s.record.rec.Timeline)
	if err != nil {
		return err
	}
	id.slot = s.server.slot.Exists && s.server.slot.Database == id.Name
	g.cfg.Failpoint(failpoint.Identified)
	log, err := s.openLog(ctx, js, found, id)
	if errors.Is(err, topology.ErrNoAtomicBatches) {
		return fatal(err)
	}
	if err != nil {
		return err
	}
	// Everything that was appended so far is before the appender's place, and
	// anybody who appends more makes the appender fail. So the tail read now is
	// the tail that it continues.
	s.appender, err = stream.OpenAppender(ctx, g.cfg.NATS, g.cfg.Source.ChangeStream(), stream.AppenderConfig{WindowBytes: g.cfg.WindowBytes, APIPrefix: g.cfg.APIPrefix})
	if err != nil {
		return topology.Explain(err)
	}
	defer s.appender.Close()
	stored, err := tail.Read(ctx, log, g.cfg.Source, s.appender.Stored())
	if err != nil {
		return err
	}
	if s.server, err = g.ensureSlot(ctx, s.server); err != nil {
		return err
	}
	if err := s.failOver(ctx); err != nil {
		return err
	}
	if err := s.replicate(ctx, stored.LSN); err != nil {
		return err
	}

	// From here on the slot is ours. What belongs to the session goes on after
	// ctx has ended, until the session has left in order.
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	s.window = &syncWindow{w: newAckWindow(g.cfg.SyncInterval)}
	after := s.record.rec.before(stored.LSN, s.server.slot.ConfirmedFlush)
	s.publish = newPublisher(life, &g.cfg, s.appender, after, newRelations(kv), s.window, &g.counters)
	s.wire.Drained = s.publish.drained
	if err := s.continuous(ctx, stored); err != nil {
		return err
	}
	s.batch = newBatch(g.cfg.Source, limits{bytes: g.cfg.FragmentBytes, ops: g.cfg.FragmentOps}, s.publish, stored)
	s.confirm = newConfirmer(s)
	inFlight := s.appender.InFlight
	heard := s.wire.LastHeard
	g.counters.inFlight.Store(&inFlight)
	g.counters.heard.Store(&heard)
	g.counters.waits("")
	g.counters.become(StateStreaming)
	g.cfg.Log.InfoContext(ctx, "streaming from the replication slot",
		slog.String("from", max(stored.LSN, s.server.slot.ConfirmedFlush).String()), slog.String("log_end", stored.LSN.String()))
	g.once.Do(func() { close(g.ready) })
	return s.run(ctx, life, end)
}

// haveJetStream fails if there is no JetStream. It comes before anything is
// created in Postgres: a slot that nobody reads keeps WAL for ever.
func (g *Ingest) haveJetStream(ctx context.Context, js jetstream.JetStream) error {
	if g.checked {
		return nil
	}
	_, err := js.AccountInfo(ctx)
	switch {
	case g.cfg.APIPrefix != "" && errors.Is(err, jetstream.ErrJetStreamNotEnabled):
		return topology.Explain(err) // a leaf node's link is down
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return fatal(topology.Explain(err))
	case errors.Is(err, nats.ErrNoResponders):
		// So a server answers that is still starting.
		if g.unanswered++; g.unanswered >= unansweredMost {
			return fatal(topology.Explain(err))
		}
		return topology.Explain(err)
	}
	return nil // what else is wrong shows where it matters
}

// connect opens the replication connection.
func (s *session) connect(ctx context.Context) error {
	cfg, err := pg.ParseConfig(s.g.cfg.DatabaseURL, "ingest")
	if err != nil {
		return fatal(err)
	}
	cfg.RuntimeParams["replication"] = "database"
	cfg.RuntimeParams["wal_sender_timeout"] = strconv.FormatInt(senderTimeout(s.server.senderTimeout).Milliseconds(), 10)
	coalesce.Reads(&cfg.Config, func(c *coalesce.Conn) { s.wire = c })
	s.conn, err = pgconn.ConnectConfig(ctx, &cfg.Config)
	if err != nil {
		return fmt.Errorf("open the replication connection to %s: %w", pg.Redact(s.g.cfg.DatabaseURL), err)
	}
	if s.conn.ParameterStatus("in_hot_standby") == "on" { // the address may lead to another server each time
		s.close(ctx)
		return errRecovery
	}
	return nil
}

// mostSilence is how long a process that was cut off, or is frozen, may hold the slot: Postgres gives it to another one then.
const mostSilence = 10 * time.Second

// senderTimeout is the wal_sender_timeout of the replication connection, where the server has another one; 0 is none. Status
// updates go out whatever else waits, several within it.
func senderTimeout(server time.Duration) time.Duration {
	if server == 0 {
		return mostSilence
	}
	return min(server, mostSilence)
}

// replicate takes the slot.
func (s *session) replicate(ctx context.Context, from change.LSN) error {
	err := pglogrepl.StartReplication(ctx, s.conn, pg.Ident(s.g.cfg.Slot), pglogrepl.LSN(from), pglogrepl.StartReplicationOptions{
		Mode: pglogrepl.LogicalReplication,
		PluginArgs: []string{
			"proto_version '1'",
			"publication_names " + literal(pg.Ident(s.g.cfg.Publication)),
			"messages 'true'",
		},
	})
	if err != nil {
		return fmt.Errorf("start replication from slot %s: %w", s.g.cfg.Slot, s.replicationError(err))
	}
	return nil
}

// literal quotes a string for the replication grammar, which has no escapes.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func (s *session) close(ctx context.Context) {
	if s.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	if err := s.conn.Close(ctx); err != nil {
		s.g.cfg.Log.DebugContext(ctx, "close the replication connection", slog.Any("error", err))
	}
}

// continuous writes a reset entry into the change log if it does not go on
// where the slot does, and brings the record up to date.
func (s *session) continuous(ctx context.Context, stored *tail.Tail) error {
	rec := s.record.rec
	reason := gap(rec, s.server.slot, s.server.created)
	switch {
	case rec.Begins:
		rec.Begins, rec.Acked = false, s.server.slot.ConfirmedFlush
	case reason != "":
		reason = cmp.Or(s.server.lost, reason)
		lsn := max(stored.LSN, s.server.slot.ConfirmedFlush)
		s.g.cfg.Log.ErrorContext(ctx, "the change log has a gap; all shapes of the source end", slog.String("reason", reason), slog.String("lsn", lsn.String()))
		c := &wire.Control{Kind: wire.ControlReset, LSN: uint64(lsn), Reason: reason}
		if err := s.publish.control(c, lsn, false); err != nil {
			return err
		}
		if err := s.appender.Flush(ctx); err != nil {
			return err
		}
		rec.Acked, rec.Last = lsn, lsn
	}
	return s.record.save(ctx, rec)
}

// run reads until ctx ends or something fails. life is what the session's own
// work runs under; end cancels it.
func (s *session) run(ctx, life context.Context, end context.CancelCauseFunc) error {
	// A deadline in the past interrupts what waits for the server. It fails on a
	// closed connection only, which is as good.
	socket, past := s.conn.Conn(), time.Unix(1, 0)
	failed := context.AfterFunc(life, func() { _ = socket.SetDeadline(past) })
	defer failed()
	defer context.AfterFunc(ctx, func() {
		_ = socket.SetReadDeadline(past)
		time.AfterFunc(leaveTime, func() { end(ctx.Err()) }) // an append may still wait for room
	})()

	group, gctx := errgroup.WithContext(life)
	fail := func(f func(context.Context) error) {
		group.Go(func() error {
			err := f(gctx)
			if err != nil {
				end(err)
			}
			return err
		})
	}
	fail(s.publish.sendWhenIdle)
	fail(s.confirm.keepRecord)
	fail(s.confirm.sendStatus)
	fail(s.g.watch.Load().Gone) // another session makes again what was deleted
	fail(func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return nil
		case <-s.appender.Done():
			return s.appender.Err()
		}
	})
	err := s.read(ctx)
	if ctx.Err() != nil && life.Err() == nil {
		err = s.leave(ctx)
		if failed() {
			_ = socket.SetDeadline(time.Time{})
		}
	}
	cause := context.Cause(life)
	end(nil)
	if werr := group.Wait(); werr != nil && cause == nil {
		cause = werr
	}
	if cause != nil && ctx.Err() == nil {
		// The cause is what failed first; the read failed because of it.
		return s.replicationError(cause)
	}
	return s.replicationError(err)
}

// leave publishes what is complete, confirms what may be, and lets go.
func (s *session) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime/2)
	defer cancel()
	if err := s.publish.finish(ctx); err != nil {
		return err
	}
	return s.confirm.last(ctx)
}
