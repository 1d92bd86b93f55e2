package consumer

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/ownership"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// takeover is what is known of a partition that can be written again.
type takeover struct {
	p        *live.Partition
	writer   *shapelog.Writer
	cp       wire.Checkpoint
	records  []*registry.Shape
	tails    shapelog.Tails
	entrants []*entrant
	bad      map[string]error // records that cannot be read, by id
	done     bool             // the partition is up
}

// probeStall is how long an attempt waits for a stream that does not answer.
// Nobody waits for it, so it may be busy.
const probeStall = 10 * time.Second

// lookTime bounds one attempt to take a partition in.
const lookTime = time.Minute

// lookAt begins to write a lost partition and reads where it and its shapes
// stand. Until takeIn, nobody else knows of it.
func (s *session) lookAt(ctx context.Context, p *live.Partition, turn int) (t *takeover, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	l, err := p.Open(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if err = s.c.cfg.Source.EnsureShapeLog(ctx, s.JS, p.N, s.c.cfg.ShapeLogs); err == nil {
			l, err = p.Open(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	// A process that slept past its lease must not write behind its successor:
	// the writer goes on from where the stream ended, and after that the lease was still ours.
	if err := s.verify(ctx, p, turn); err != nil {
		return nil, err
	}
	t = &takeover{p: p, writer: l}
	if t.cp, _, err = registry.ReadCheckpoint(ctx, s.JS, s.c.cfg.Source, p.N, s.Changes.HistoryID()); err != nil {
		return nil, err
	}
	l.SetStall(probeStall)
	// This shows that the stream can be written, and behind its fence nothing
	// comes any more that an earlier writer had on its way: what is read now is the end.
	if err := p.Checkpoint(ctx, l, t.cp, nil); err != nil {
		return nil, err
	}
	if err := l.Flush(ctx); err != nil {
		return nil, err
	}
	l.SetStall(s.c.cfg.Stall)
	p.Floor.Store(live.FloorIn(t.cp))
	err = s.OnMain(ctx, func(context.Context) error {
		p.Missed = map[string]registry.Event{}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if t.records, t.bad, err = s.recordsOf(ctx, p.N); err != nil {
		return nil, err
	}
	t.tails = shapelog.NewTails()
	if err := shapelog.ReadTails(ctx, s.JS, s.c.cfg.Source, t.records, &t.tails); err != nil {
		return nil, err
	}
	t.tails.Partitions[p.N] = true
	if err := s.OnMain(ctx, func(ctx context.Context) error { return s.keepNeeded(ctx, t.records, t.tails) }); err != nil {
		return nil, err
	}
	if t.entrants, err = s.entrants(ctx, t.records, t.tails, map[int]wire.Checkpoint{p.N: t.cp}); err != nil {
		return nil, err
	}
	return t, nil
}

// verify returns nil only if nobody else has held the partition since a turn began.
func (s *session) verify(ctx context.Context, p *live.Partition, turn int) error {
	var held ownership.Held
	err := s.OnMain(ctx, func(context.Context) error {
		if !s.isTurn(p, turn) {
			return errHandedOver
		}
		held = s.held[p.N]
		return nil
	})
	if err != nil {
		return err
	}
	return held.Verify(ctx)
}

// recordsOf returns the records of a partition's shapes, and why records of any
// partition cannot be read, by id.
func (s *session) recordsOf(ctx context.Context, partition int) ([]*registry.Shape, map[string]error, error) {
	watch, enough := context.WithCancel(ctx)
	defer enough()
	byID := map[string]*registry.Shape{}
	bad := map[string]error{}
	loaded := false
	err := s.Shapes.Watch(watch, func(e registry.Event) {
		e = s.Shapes.Within(ctx, e, s.c.partitions.Load())
		delete(bad, e.ID)
		switch {
		case loaded:
		case e.Err != nil:
			bad[e.ID] = e.Err
			delete(byID, e.ID)
		case e.Shape != nil && e.Shape.Partition == partition:
			byID[e.ID] = e.Shape
		default:
			delete(byID, e.ID)
		}
	}, func() { loaded = true; enough() })
	if err != nil {
		return nil, nil, err
	}
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	records := make([]*registry.Shape, 0, len(byID))
	for _, rec := range byID {
		records = append(records, rec)
	}
	return records, bad, nil
}
