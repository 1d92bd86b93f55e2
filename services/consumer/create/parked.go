package create

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// Parked is a shape that is being created: it is not fed by the main loop but
// by a batch of shapes that reads the change log by itself until it meets the
// main loop. While it waits for its batch it belongs to the main loop, in a
// batch to the batch's goroutine.
type Parked struct {
	s         *Creator
	ID        string
	handle    string
	partition int
	Table     *pg.TableInfo    // as the shape is made for it
	Structure string           // of table
	writer    *shapelog.Writer // of the partition
	ctx       context.Context  //nolint:containedctx // of this shape's creation: a batch has many
	cancel    context.CancelCauseFunc
	log       *slog.Logger

	waiting bool      // for a batch; owned by the main loop
	since   time.Time // when it began to wait

	rec  *registry.Shape
	tail wire.Tail // where the log stood when it was parked
	// fresh: its record came in this session and nobody has begun its log, so
	// there are no segments of an earlier attempt.
	fresh bool
	alone bool // its snapshot failed, which others must not suffer from again
	pause service.Backoff

	f      *follow.Follower
	copied shapelog.Copied // its segment, once that is written

	// behind: it was live and catches up from a place, because its partition
	// could not be written for a while.
	behind bool
	from   changelog.Place
}

// begins is where the shape begins to read the change log.
func (p *Parked) begins() changelog.Place {
	if p.behind {
		return p.from
	}
	return changelog.Place{LSN: p.rec.StartLSN, Seq: p.rec.StartSeq}
}

// holds is up to where its rows hold what was committed.
func (p *Parked) holds() change.LSN {
	if p.behind {
		return 0
	}
	return p.rec.SnapshotLSN
}

// stopped cancels a parked shape's creation.
type stopped struct {
	reason     string
	keepRecord bool
}

func (e *stopped) Error() string { return e.reason }

// errAgain is no fault of the shape: it goes into another batch.
var errAgain = errors.New("the batch ended before the shape's turn")

// Park starts the creation of a shape, or goes on with it after a restart.
// fresh says that the record was stored in this session. Runs on the main loop.
func (s *Creator) Park(ctx context.Context, rec *registry.Shape, tail wire.Tail, fresh bool) {
	p := s.newParked(ctx, rec, tail)
	p.fresh = fresh
	s.Hold(rec.ID, p)
	if tail.Began { // the change log must not be trimmed before the batch runs
		s.Pin(rec.ID, changelog.Place{LSN: rec.StartLSN, Seq: rec.StartSeq})
	}
	s.enqueue(p)
}

// Handle is that of the shape.
func (p *Parked) Handle(string) string { return p.handle }

// State is StateCreating: no checkpoint covers the shape.
func (p *Parked) State(string) control.State { return control.StateCreating }

// End ends the shape's creation.
func (p *Parked) End(ctx context.Context, _, reason string, keepRecord bool) error {
	return p.s.Stop(ctx, p, reason, keepRecord)
}

// Watch has nothing to do: the main loop looks who depends on the shape when it comes there.
func (p *Parked) Watch(string, string) bool { return false }

// newParked prepares a shape that is on its way to the main loop. Runs on the main loop.
func (s *Creator) newParked(ctx context.Context, rec *registry.Shape, tail wire.Tail) *Parked {
	ctx, cancel := context.WithCancelCause(ctx)
	return &Parked{
		s: s, ID: rec.ID, handle: rec.Handle, partition: rec.Partition, writer: s.Parts[rec.Partition].Writer.Load(),
		Table: rec.Table, Structure: rec.Structure, ctx: ctx, cancel: cancel,
		log: s.Log.With(slog.String("shape", rec.Handle)),
		rec: rec, tail: tail,
	}
}

// enqueue lets a parked shape wait for a batch. Runs on the main loop.
func (s *Creator) enqueue(p *Parked) {
	p.waiting, p.since = true, time.Now()
	l := s.lineOf(p)
	l.waiting = append(l.waiting, p)
	s.startBatches(l)
}

// Stop ends a creation. Runs on the main loop.
func (s *Creator) Stop(ctx context.Context, p *Parked, reason string, keepRecord bool) error {
	p.cancel(&stopped{reason, keepRecord})
	if !p.waiting {
		return nil // its batch does the rest
	}
	l := s.lineOf(p)
	l.waiting = slices.DeleteFunc(l.waiting, func(o *Parked) bool { return o == p })
	return s.endParked(ctx, p, reason, keepRecord)
}

// cause is nil while the creation may go on: it was neither stopped, nor is the session over.
func (p *Parked) cause() error { return context.Cause(p.ctx) }

// conclude takes a shape out of its batch: it is live, or it ends, or it is tried
// again. The error returned ends the session.
func (p *Parked) conclude(ctx context.Context, err error) error {
	var stop *stopped
	var fin *live.FinalError
	switch {
	case err == nil:
		return nil
	case errors.As(p.cause(), &stop):
		return p.end(ctx, stop.reason, stop.keepRecord)
	case p.cause() != nil:
		return nil //nolint:nilerr // the session is over, and the next one goes on
	case errors.As(err, &fin):
		return p.end(ctx, fin.Error(), true)
	case p.writer.Over():
		return shapelog.IgnoreLost(p.writer.Err()) // the shape is taken in again when its partition is back, or by the next session
	}
	if p.f != nil {
		p.tail = p.f.Appended
	}
	if errors.Is(err, errAgain) {
		return p.again(ctx)
	}
	p.fresh = false
	p.log.WarnContext(ctx, "creation of the shape is retried", slog.Any("error", err))
	p.s.Stats.LastError.Store(err.Error())
	p.s.Tasks.Go(func() error {
		p.reason(p.ctx, err.Error())
		p.pause.Wait(p.ctx)
		return p.again(p.s.Ctx) // the shape may have been stopped meanwhile, and is to end then
	})
	return nil
}

// again lets the shape wait for another batch.
func (p *Parked) again(ctx context.Context) error {
	err := p.s.OnMain(ctx, func(ctx context.Context) error {
		if stop, ok := errors.AsType[*stopped](p.cause()); ok {
			return p.s.endParked(ctx, p, stop.reason, stop.keepRecord)
		}
		p.s.enqueue(p)
		return nil
	})
	return service.IgnoreOver(ctx, err)
}

// reason tells those who ask for the shape what its creation waits for.
func (p *Parked) reason(ctx context.Context, reason string) {
	if err := p.s.ChangeRecord(ctx, p.ID, p.handle, func(r *registry.Shape) { r.Reason = reason }); err != nil && ctx.Err() == nil {
		p.log.WarnContext(ctx, "state of the shape not stored", slog.Any("error", err))
	}
}

// end leaves the parked shapes and ends the shape.
func (p *Parked) end(ctx context.Context, reason string, keepRecord bool) error {
	return service.IgnoreOver(ctx, p.s.OnMain(ctx, func(ctx context.Context) error {
		return p.s.endParked(ctx, p, reason, keepRecord)
	}))
}

// endParked ends a shape that no batch has. Runs on the main loop.
func (s *Creator) endParked(ctx context.Context, p *Parked, reason string, keepRecord bool) error {
	p.cancel(nil)
	s.LetGo(p.ID, p)
	if p.f != nil {
		return s.EndFollower(ctx, p.f, reason, keepRecord)
	}
	l := s.Parts[p.partition].NewLog(p.handle, p.writer, p.tail)
	return s.EndLog(ctx, &l, reason, keepRecord)
}

// store changes the record as it was last read.
func (p *Parked) store(ctx context.Context, f func(*registry.Shape)) error {
	rec, err := p.s.StoreRecord(ctx, p.rec, f)
	if err == nil && rec != nil {
		p.rec = rec
	}
	return err
}

// markLive says in the record that a checkpoint covers the shape.
func (p *Parked) markLive(ctx context.Context) error { return p.s.MarkLive(ctx, p.rec) }
