package fold

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/snapshots"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// job is something that a goroutine does for one log. Of the follower it uses what never changes, and what the main
// loop owns on the main loop.
type job struct {
	s      *Folder
	f      *follow.Follower
	k      *known
	begins *shapelog.Beginning
	part   *live.Partition
	writer *shapelog.Writer
	log    *slog.Logger
	left   []string // subjects of the segments that were there before the fold
	stored bool     // a generation that refers to what was copied may be stored
}

// errOver says that the shape does not go on here: it has ended, or its partition has been lost or given away.
var errOver = errors.New("the shape is not with this process any more")

// errNoRoom says why a fold waits that could be done otherwise.
var errNoRoom = errors.New("the change log is nearly full; logs are folded when it is not")

// begin finds out with what the log begins, and takes back what is told of a fold that somebody else was about to do.
func (j *job) begin(ctx context.Context) error {
	b, err := j.part.ReadBeginning(ctx, j.f.Handle)
	if err == nil {
		_, err = j.s.Shapes.Change(ctx, j.f.ID, func(r *registry.Shape) bool {
			if r.Handle != j.f.Handle || r.Fold == nil || r.Fold.Began.IsZero() {
				return false
			}
			if r.Fold = (&registry.Fold{Asked: r.Fold.Asked}); r.Fold.Asked.IsZero() {
				r.Fold = nil
			}
			return true
		})
	}
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		return err
	}
	return j.s.onMain(ctx, nil, func() {
		j.k.begins, j.k.purged = b, b.Number == 0
		clear(j.k.based)
	})
}

// purge removes what the generation replaces: from the log, and then the rows to which nothing refers any more. It may have
// been done before. sets are the value sets of the shape.
func (j *job) purge(ctx context.Context, sets []string) error {
	if err := j.settled(ctx, sets); err != nil {
		return err
	}
	if err := j.part.PurgeLog(ctx, j.f.Handle, &j.begins.Generation); err != nil {
		return err
	}
	j.s.Cfg.Failpoint(failpoint.FoldCut)
	if err := j.part.PurgeGenerations(ctx, j.f.Handle); err != nil {
		return err
	}
	j.s.Cfg.Failpoint(failpoint.FoldPurged)
	return j.part.PurgeSegment(ctx, j.f.Handle, j.begins.Previous)
}

// fold makes a generation.
func (j *job) fold(ctx context.Context) error {
	rec, err := j.s.Shapes.Get(ctx, j.f.ID)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return nil // it is about to end
	case err != nil:
		return err
	case rec.Handle != j.f.Handle || rec.State != control.StateLive:
		return nil
	}
	if full, err := j.s.Changes.NearlyFull(ctx); err != nil {
		return err
	} else if full {
		return errors.Join(errNoRoom, j.say(ctx, errNoRoom.Error()))
	}
	began, asked := time.Now(), askedAt(rec)
	copied, err := j.make(ctx, rec)
	if err == nil {
		j.s.Cfg.Failpoint(failpoint.FoldUntold)
		j.s.Stats.Folds.Add(1)
		j.log.InfoContext(ctx, "the shape's log is folded", slog.Uint64("rows", copied.Rows), slog.Duration("after", time.Since(began)))
		return j.tell(ctx, func(r *registry.Shape) {
			later := askedAt(r) // by somebody who may have seen what this fold has not
			if r.Fold, r.Folded = nil, time.Now().UTC(); !later.Equal(asked) {
				r.Fold = &registry.Fold{Asked: later}
			}
		})
	}
	// Nothing refers to the rows, and nobody else has a segment of that number.
	if copied.Segment != 0 && !j.stored && ctx.Err() == nil && j.writer.Flush(ctx) == nil {
		err = errors.Join(err, j.part.PurgeSegment(ctx, j.f.Handle, copied.Segment))
	}
	if errors.Is(err, errOver) {
		return nil
	}
	if ctx.Err() == nil {
		_ = j.say(ctx, err.Error()) // it says nothing that the next attempt needs
	}
	return err
}

// askedAt is when the fold was asked for that a record tells of, zero if none was.
func askedAt(r *registry.Shape) time.Time {
	if r.Fold == nil {
		return time.Time{}
	}
	return r.Fold.Asked
}

// make reads the rows and says that they are a generation. What was copied it returns with an error, too.
func (j *job) make(ctx context.Context, rec *registry.Shape) (copied shapelog.Copied, err error) {
	conn, err := pg.Connect(ctx, j.s.Postgres.Config)
	if err != nil {
		return copied, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // what is open in it ends with it
	table, err := j.s.Fence(ctx, conn, rec.Definition.Schema, rec.Definition.Table)
	if err != nil {
		return copied, err
	}
	if table.Structure() != rec.Structure {
		return copied, errors.New(live.TableChanged(rec.Table, table)) // the shape is about to end
	}
	if j.left, err = j.part.Segments(ctx, j.f.Handle); err != nil {
		return copied, err
	}
	if j.f.Outer == nil {
		copied, err = j.makePlain(ctx, rec, conn, table)
	} else {
		copied, err = j.makeOuter(ctx, rec, conn, table)
	}
	if err != nil {
		return copied, err
	}
	return copied, j.sweep(ctx)
}

// sweep removes what folds that died have left. Something is stored, which shows that the partition is ours: nobody else has added
// to what was left before.
func (j *job) sweep(ctx context.Context) error {
	left := j.left
	j.left = nil
	return j.part.PurgeSubjects(ctx, left, j.f.Handle, j.begins.Segment)
}

// sweepEarly does that when the first rows are stored, so that there are never more than two generations and what is read. Then readers
// still begin with the one before, which must be the one that is known.
func (j *job) sweepEarly(ctx context.Context) error {
	if len(j.left) == 0 {
		return nil
	}
	if err := j.part.StillBegins(ctx, j.f.Handle, j.begins); err != nil {
		return err
	}
	return j.sweep(ctx)
}

// makePlain makes the generation of a shape without subqueries.
func (j *job) makePlain(ctx context.Context, rec *registry.Shape, conn *pgx.Conn, table *pg.TableInfo) (copied shapelog.Copied, err error) {
	start, proof, err := j.pin(ctx, conn)
	if err != nil {
		return copied, err
	}
	defer j.s.Forget(context.WithoutCancel(ctx), proof)
	open, err := snapshots.OpenMarked(ctx, conn, topology.BarrierPrefix, proof.ID)
	if err != nil {
		return copied, err
	}
	j.s.Cfg.Failpoint(failpoint.FoldBegun)
	copied, err = j.copyRows(ctx, func(add func(row change.Row) error) error {
		_, err := open.CopyRows(ctx, table, rec.Definition.Columns, j.f.Pred.SQL(), add)
		return err
	})
	if err != nil {
		return copied, err
	}
	if err := open.Close(ctx); err != nil {
		return copied, fmt.Errorf("close the snapshot: %w", err)
	}
	if err := j.s.Prove(ctx, proof, open.Mark); err != nil {
		if errors.Is(err, changelog.ErrUnproven) {
			j.s.Postgres.Reconnect()
		}
		return copied, err
	}
	j.s.Cfg.Failpoint(failpoint.FoldCopied)
	g, err := j.complete(ctx, start, open.Snapshot, copied)
	if err != nil {
		return copied, err
	}
	return copied, j.store(ctx, g)
}

// pin finds an LSN below which a snapshot taken from now on sees all, and has the main loop look for the snapshot's proof.
func (j *job) pin(ctx context.Context, conn *pgx.Conn) (start change.LSN, proof *changelog.Awaited, err error) {
	err = j.s.Begin(ctx, conn, func(at changelog.Place) { start, proof = at.LSN, j.s.Expect() })
	return start, proof, err
}

// copyRows writes the shape's rows, which read gives, into a segment of its own.
func (j *job) copyRows(ctx context.Context, read func(add func(row change.Row) error) error) (shapelog.Copied, error) {
	began := time.Now().UTC()
	tell := func(ctx context.Context, rows uint64) error {
		return j.tell(ctx, func(r *registry.Shape) {
			now := &registry.Fold{Began: began, Rows: int64(rows)}
			if r.Fold != nil {
				now.Asked = r.Fold.Asked
			}
			r.Fold = now
		})
	}
	if err := tell(ctx, 0); err != nil {
		return shapelog.Copied{}, err
	}
	w := j.part.NewSegment(j.writer, j.f.Handle, tell)
	w.Single()
	sent := w.Rows
	err := read(func(row change.Row) error {
		if err := w.Add(ctx, row); err != nil || sent == w.Rows {
			return err
		}
		j.s.Stats.FoldRows.Add(int64(w.Rows - sent))
		sent = w.Rows
		j.s.Cfg.Failpoint(failpoint.FoldRow)
		if err := j.here(ctx); err != nil { // who has ended the shape has removed what was there
			return err
		}
		return j.sweepEarly(ctx)
	})
	if err == nil {
		err = w.Send(ctx)
		j.s.Stats.FoldRows.Add(int64(w.Rows - sent))
	}
	if err != nil {
		return w.Copied, fmt.Errorf("read the shape's rows: %w", err)
	}
	return w.Copied, nil
}

// complete makes a generation of the rows and of what the log is now. The change log has shown what was written behind the
// snapshot, so the main loop has read all that the snapshot sees.
func (j *job) complete(ctx context.Context, start change.LSN, held change.Snapshot, copied shapelog.Copied) (*wire.Generation, error) {
	if whole := j.s.Recent.Wait(0, held.LSN); whole != nil {
		select {
		case <-whole:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	var tail wire.Tail
	err := j.while(ctx, func() error {
		if j.s.Applied.LSN < held.LSN {
			return fmt.Errorf("the main loop is not yet at %s, up to where the snapshot goes", held.LSN)
		}
		tail = j.f.Appended
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := j.writer.Flush(ctx); err != nil {
		return nil, err
	}
	g := copied.NewGeneration()
	return g, j.part.LookThrough(ctx, j.f.Handle, start, held, tail, g)
}

// store says that the shape has a new generation.
func (j *job) store(ctx context.Context, g *wire.Generation) error {
	g.Number, g.Previous, g.At = j.begins.Number+1, j.begins.Segment, time.Now().UnixMicro()
	// On the main loop, as it ends shapes: behind its last word nobody would remove it.
	err := j.while(ctx, func() error {
		j.stored = true
		return j.part.AppendGeneration(ctx, j.writer, j.f.Handle, g)
	})
	if err != nil {
		return err
	}
	j.s.Cfg.Failpoint(failpoint.FoldStored)
	if err := j.writer.Flush(ctx); err != nil {
		return err
	}
	return j.s.onMain(ctx, nil, func() {
		j.k.begins, j.k.purged, j.k.told = &shapelog.Beginning{Generation: *g, Stored: time.Now()}, false, false
		clear(j.k.based)
	})
}

// goesOn reports whether the shape is here as it was. Only one with subqueries may be away from the main loop for a while: what
// the fold needs of it was taken when it began. Runs on the main loop.
func (j *job) goesOn() bool {
	if j.f.Outer == nil {
		return j.s.Live[j.f.ID] == j.f
	}
	return j.s.GoesOn(j.f)
}

// here fails with errOver if the shape does not go on here.
func (j *job) here(ctx context.Context) error {
	over := false
	err := j.s.OnMain(ctx, func(context.Context) error {
		over = !j.goesOn() || j.f.Writer != j.writer || j.writer.Over()
		return nil
	})
	if err == nil && over {
		err = errOver
	}
	return err
}

// while runs f on the main loop if the shape goes on there as it did.
func (j *job) while(ctx context.Context, f func() error) error {
	var failed error
	err := j.s.OnMain(ctx, func(context.Context) error {
		switch {
		case !j.goesOn() || j.f.Writer != j.writer || j.writer.Over():
			failed = errOver
		case j.s.Again != nil:
			failed = errors.New("the main loop has not come yet to where its predecessor was")
		default:
			failed = f()
		}
		return nil
	})
	return errors.Join(err, failed)
}
