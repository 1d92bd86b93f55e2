package tables

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/prepare"
	"github.com/shapebus/shapebus/internal/registry"
)

// Config is what the room needs. Harm and the functions are never nil.
type Config struct {
	Pool        *pgxpool.Pool
	Records     *registry.PreparedTables
	Publication string
	LockTimeout time.Duration // for changing a table
	Grace       time.Duration // how long a table stays prepared on which no shape is any more; < 0 for ever
	Leave       bool          // tables are not changed: who owns them prepares them
	LookEvery   time.Duration // the longest time between looks for harm
	Harm        *Harm
	Log         *slog.Logger
	Failpoint   func(failpoint.Point)
}

// Preparer makes tables ready for shapes. Safe for concurrent use.
type Preparer struct{ cfg Config }

// NewPreparer makes a preparer.
func NewPreparer(cfg Config) *Preparer { return &Preparer{cfg} }

// Publication is the one into which tables are put.
func (p *Preparer) Publication() string { return p.cfg.Publication }

// Prepare makes sure that the stream carries a table whole, and returns its definition after
// that. What the table was is stored before it is changed, and kept until it is given back
// (giveback.go); the two exclude each other by a lock of Postgres and by the record's revision:
//
//	1 lock · 2 store what the table was · 3 change it (pg.EnsureTable) · 4 unlock
//
// A crash behind 2 leaves a record of a table that is as it was: the sweep finds nothing to do and
// removes it. One behind 3 leaves nothing to do but for the sweep, later.
func (p *Preparer) Prepare(ctx context.Context, conn *pgx.Conn, table *pg.TableInfo) (*pg.TableInfo, error) {
	oid := table.Relation.OID
	var rec *registry.Prepared
	for {
		var err error
		if rec, err = p.cfg.Records.Get(ctx, oid); err != nil {
			return nil, err
		}
		ready := false
		if rec == nil || !rec.Leaving && rec.Idle.IsZero() { // else the sweep may be about to change it
			ready, err = prepare.Ready(ctx, conn, p.cfg.Publication, table, p.cfg.LockTimeout)
		}
		if err == nil && !ready && p.cfg.Leave {
			return nil, prepare.Unprepared(p.cfg.Publication, table)
		}
		if err == nil && !ready {
			err = prepare.Preparing(ctx, conn, table, p.cfg.LockTimeout, func() (err error) {
				rec, err = p.change(ctx, conn, table)
				return err
			})
		}
		if errors.Is(err, registry.ErrConflict) { // the sweep has noted something meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		break
	}
	// If not this call then another one may have changed the table since it was looked up.
	out, err := pg.LookupTable(ctx, conn, table.Relation.Schema, table.Relation.Name, p.cfg.Publication)
	if err != nil {
		return nil, err
	}
	if rec != nil && rec.Added && rec.Member == 0 {
		rec.Member = out.MemberOf(p.cfg.Publication)
		if err := p.cfg.Records.Put(ctx, rec); err != nil { // without it the table is given back whoever put it there last
			p.cfg.Log.DebugContext(ctx, "not noted in which place a table is in the publication", slog.String("table", out.String()), slog.Any("error", err))
		}
	}
	return out, nil
}

// change does 2 and 3 of Prepare.
func (p *Preparer) change(ctx context.Context, conn *pgx.Conn, table *pg.TableInfo) (*registry.Prepared, error) {
	rec, err := p.cfg.Records.Get(ctx, table.Relation.OID)
	if err != nil {
		return nil, err
	}
	next := &registry.Prepared{}
	var known *prepare.Prior
	if rec != nil {
		*next, known = *rec, &rec.Prior
	}
	prior, now, err := prepare.PriorTo(ctx, conn, p.cfg.Publication, table, known)
	if err != nil {
		return nil, err
	}
	if rec != nil || prior.Changes() {
		next.Prior, next.Idle, next.Leaving = *prior, time.Time{}, false
		if err := p.cfg.Records.Put(ctx, next); err != nil {
			return nil, err
		}
		p.cfg.Failpoint(failpoint.TableNoted)
	}
	changed, err := prepare.EnsureTable(ctx, conn, p.cfg.Publication, now, p.cfg.LockTimeout)
	if err != nil {
		return nil, err
	}
	if changed {
		p.cfg.Log.InfoContext(ctx, "table prepared for shapes: it is in the publication with REPLICA IDENTITY FULL", slog.String("table", now.String()))
	}
	if next.OID == 0 {
		return nil, nil // it is as it should be, and was so before us
	}
	return next, nil
}
