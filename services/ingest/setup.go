package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/preflight"
	"github.com/shapebus/shapebus/internal/pg/prepare"
	"github.com/shapebus/shapebus/internal/pg/slots"
)

// server is what a session needs to know of Postgres before it starts.
type server struct {
	slot          slots.Info
	lost          string        // why the slot had to be made again, if it had to
	created       bool          // it has just been made
	senderTimeout time.Duration // after which a walsender gives up a silent client; 0 = never
}

// prepare checks the server, makes the publication ready, and drops a slot that
// is of no use. It does not make one: that comes last, because a slot that nobody reads
// keeps WAL for ever; see ensureSlot.
func (g *Ingest) prepare(ctx context.Context) (server, error) { return g.onServer(ctx, g.prepareOn) }

// ensureSlot makes the slot if there is none.
func (g *Ingest) ensureSlot(ctx context.Context, s server) (server, error) {
	if s.slot.Exists {
		return s, nil
	}
	return g.onServer(ctx, func(ctx context.Context, conn *pgx.Conn) (_ server, err error) {
		g.cfg.Log.InfoContext(ctx, "creating the replication slot; this waits for transactions that are writing now")
		var options []slots.Option
		if g.cfg.Failover {
			options = append(options, slots.WithFailover())
		}
		err = prepare.WithoutPreparing(ctx, conn, func() error { return slots.Create(ctx, conn, g.cfg.Slot, options...) })
		if errors.Is(err, slots.ErrRecovery) { // the address may lead to another server each time
			return s, errRecovery
		}
		if err != nil {
			return s, err
		}
		s.created = true
		s.slot, err = slots.Lookup(ctx, conn, g.cfg.Slot)
		return s, err
	})
}

// onServer runs f on a connection of its own.
func (g *Ingest) onServer(ctx context.Context, f func(context.Context, *pgx.Conn) (server, error)) (_ server, err error) {
	cfg, err := pg.ParseConfig(g.cfg.DatabaseURL, "ingest")
	if err != nil {
		return server{}, fatal(err)
	}
	conn, err := pg.Connect(ctx, cfg)
	if err != nil {
		if c, ok := errors.AsType[*pg.ConnectError](err); ok && !c.Temporary() {
			return server{}, fatal(err)
		}
		return server{}, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	s, err := f(ctx, conn)
	if needs, ok := errors.AsType[*pg.NeedsError](err); ok {
		return server{}, fatal(needs)
	}
	return s, err
}

func (g *Ingest) prepareOn(ctx context.Context, conn *pgx.Conn) (server, error) {
	var s server
	var timeout int64
	var standby bool
	err := conn.QueryRow(ctx, "SELECT setting::bigint, pg_catalog.pg_is_in_recovery() FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'").Scan(&timeout, &standby)
	if err != nil {
		return s, fmt.Errorf("read wal_sender_timeout: %w", err)
	}
	// A server that has yet to read WAL, as one that takes over, must not be
	// taken for one that has lost it.
	if standby && g.checked {
		return s, errRecovery
	}
	s.senderTimeout = time.Duration(timeout) * time.Millisecond
	if s.slot, err = slots.Lookup(ctx, conn, g.cfg.Slot); err != nil {
		return s, err
	}
	ours := s.slot.Exists && s.slot.Plugin == "pgoutput" && s.slot.Database == conn.Config().Database
	if ours && s.slot.Active {
		return s, errStandby
	}
	holed := g.hole.in(s.slot)
	if ours && (s.slot.Lost() || holed) {
		reason := g.hole.reason
		if !holed {
			reason = s.slot.LostReason()
		}
		g.cfg.Log.ErrorContext(ctx, "the replication slot is of no use any more and is made again; all shapes of the source end", slog.String("reason", reason))
		if err := slots.Drop(ctx, conn, g.cfg.Slot); err != nil {
			return s, err
		}
		s.slot, s.lost, g.hole = slots.Info{}, reason, hole{}
	}
	if g.cfg.Failover {
		if err := slots.NoFailover(conn); err != nil {
			return s, fatal(err)
		}
	}
	if !g.checked {
		if err := g.check(ctx, conn); err != nil {
			return s, err
		}
		g.checked = true
	}
	if err := prepare.EnsurePublication(ctx, conn, g.cfg.Publication); err != nil {
		return s, err
	}
	return s, nil
}

// check returns an error that lists everything a person has to fix.
func (g *Ingest) check(ctx context.Context, conn *pgx.Conn) error {
	var failed []string
	for _, f := range preflight.Check(ctx, conn, preflight.Options{Publication: g.cfg.Publication, Slot: g.cfg.Slot}) {
		switch f.Level {
		case preflight.LevelFail:
			text := f.Name + ": " + f.Detail
			if f.Fix != "" {
				text += "; run: " + f.Fix
			}
			failed = append(failed, text)
		case preflight.LevelWarn:
			g.cfg.Log.WarnContext(ctx, "Postgres check", slog.String("check", f.Name), slog.String("detail", f.Detail), slog.String("fix", f.Fix))
		default:
		}
	}
	if len(failed) == 0 {
		return nil
	}
	err := errors.New("this Postgres is not ready for Shapebus:\n  " + strings.Join(failed, "\n  "))
	if ctx.Err() != nil || conn.IsClosed() {
		return err // the connection went away while it was checked
	}
	return fatal(err)
}

// failOver has a slot that exists synchronised to standbys, if it is to be and is not. The slot must not
// be in use.
func (s *session) failOver(ctx context.Context) error {
	if !s.g.cfg.Failover || s.server.slot.Failover || s.server.created {
		return nil
	}
	sql := fmt.Sprintf("ALTER_REPLICATION_SLOT %s (FAILOVER true)", pg.Ident(s.g.cfg.Slot))
	if _, err := s.conn.Exec(ctx, sql).ReadAll(); err != nil {
		return fmt.Errorf("have replication slot %s synchronised to standbys (%s): %w", s.g.cfg.Slot, sql, s.replicationError(err))
	}
	s.server.slot.Failover = true
	s.g.cfg.Log.InfoContext(ctx, "the replication slot is synchronised to standbys from now on")
	return nil
}

// replicationError sorts the errors of START_REPLICATION and of the stream.
func (s *session) replicationError(err error) error {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return err
	}
	switch {
	case e.Code == "55006":
		return errStandby
	case e.Code == "42704" && strings.Contains(e.Message, "publication"):
		// The slot stands before a change that was written while the
		// publication did not exist, and cannot be read past it.
		return fmt.Errorf("%w: %w", s.publicationGone(e.Message), err)
	case e.Code == "42501":
		return fatal(fmt.Errorf("%w; run as a superuser: ALTER ROLE … REPLICATION", err))
	}
	return err
}
