package consumer

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/snapshots"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// lookPatience bounds how long the main loop stands still to look at a table. When that was in
// vain it does not for lookPause: a change log may tell of many tables that nobody can look at.
const (
	lookPatience = time.Second
	lookPause    = 10 * time.Second
	// The pauses between looks whether a transaction is visible.
	behindFirst = time.Millisecond
	behindLast  = 100 * time.Millisecond
)

// describedAgain looks at a table that Postgres has described again as it was: something about it
// may have changed that the description does not tell. The transaction with which it did so is the last one
// in the logs of shapes for whom that is so. What cannot be found out in time is left to the next look at
// all tables. Runs on the main loop.
func (s *session) describedAgain(ctx context.Context, c wire.Control) error {
	if s.seen.Sees(change.XID(c.XID)) {
		return nil // all tables have been looked at since
	}
	on := s.byTable(c.OID)[c.OID]
	if on == nil {
		return nil
	}
	if time.Since(s.blind) < lookPause {
		s.lookSoon()
		return nil
	}
	looking, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	now, at, err := s.lookBehind(looking, c)
	if err != nil {
		if ctx.Err() == nil {
			s.Log.WarnContext(ctx, "cannot look at a table that may have changed; a change of it shows late", slog.Uint64("oid", uint64(c.OID)), slog.Any("error", err))
		}
		s.blind = time.Now()
		s.lookSoon()
		return nil
	}
	structure := ""
	if now != nil {
		structure = now.Structure()
	}
	if err := s.endChanged(ctx, on, structure, now); err != nil {
		return err
	}
	s.judgeFiles(moved(map[uint32]*onTable{c.OID: on}, map[uint32]*pg.TableInfo{c.OID: now}, at), at)
	return nil
}

// lookBehind reads a table as it is at an LSN or later, behind the transaction that described it; nil when it is gone.
func (s *session) lookBehind(ctx context.Context, c wire.Control) (*pg.TableInfo, change.LSN, error) {
	conn, err := s.Postgres.Pool.Acquire(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Release()
	for look := behindFirst; ; look = min(2*look, behindLast) {
		snap, err := snapshots.Current(ctx, conn.Conn())
		if err != nil {
			return nil, 0, err
		}
		if snap.Sees(change.XID(c.XID)) {
			tables, err := pg.LookupTables(ctx, conn.Conn(), []uint32{c.OID}, s.c.cfg.Publication)
			return tables[c.OID], snap.LSN, err
		}
		service.WaitFor(ctx, look) // a commit is in the change log before it is visible
		if ctx.Err() != nil {
			return nil, 0, fmt.Errorf("transaction %d is not visible yet: %w", c.XID, ctx.Err())
		}
	}
}
