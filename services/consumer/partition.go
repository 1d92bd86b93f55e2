package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// partition is one of the session's partitions. While its stream can be
// written it has a life, which writes the logs of its shapes. When a life ends, the
// session goes on without the partition until there is another; see drop.go
// and comeback.go. The methods that write are safe for concurrent use.
type partition struct {
	source    topology.Source
	n         int
	failpoint func(failpoint.Point)
	messages  *atomic.Int64
	bytes     *atomic.Int64
	builders  *sync.Pool
	outdated  atomic.Uint64        // the first sequence of the last checkpoint in parts
	purgeable chan struct{}        // there are checkpoints before that
	life      atomic.Pointer[life] // nil while the stream cannot be written

	// The main loop's.
	phase phase
	why   error           // it is down
	since time.Time       // when the phase began
	pause service.Backoff // before the next attempt to come back
	// floor is that of the last checkpoint stored. While the partition is not up,
	// its shapes may have to go on from there.
	floor  atomic.Pointer[place]
	missed map[string]registry.Event // changes of records that nobody acts on while it comes back, by id
}

// phase is how far a partition is in the session.
type phase uint8

const (
	down     phase = iota // it cannot be written: its shapes wait where they are
	catching              // its plain shapes are on their way to the main loop
	up                    // its checkpoint speaks of all its shapes
)

// life is the time during which an appender, the only writer of the
// partition's stream, works. A shape's follower belongs to the life in which the
// place of its log was read: with another one it would write at a place that it does not know.
type life struct {
	n     int
	out   *stream.Appender
	began time.Time
	mu    sync.Mutex
	cause error // set by kill
}

// lostError says that a partition cannot be written any more. What concerns
// its shapes alone may ignore it: they are taken in again when it is back.
type lostError struct {
	n   int
	err error
}

func (e *lostError) Error() string { return fmt.Sprintf("partition %d: %v", e.n, e.err) }
func (e *lostError) Unwrap() error { return e.err }

// isLost reports whether an error concerns one partition only.
func isLost(err error) bool {
	_, ok := errors.AsType[*lostError](err)
	return ok
}

// ignoreLost drops an error that concerns one partition only.
func ignoreLost(err error) error {
	if isLost(err) {
		return nil
	}
	return err
}

var errDown = errors.New("it cannot be written at present")

// err is nil while the life lasts, then what ended it: a lostError unless that
// concerns all partitions.
func (l *life) err() error {
	if l == nil {
		return &lostError{-1, errDown}
	}
	l.mu.Lock()
	err := l.cause
	l.mu.Unlock()
	if err == nil {
		err = l.out.Err()
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, stream.ErrDisconnected):
		return fmt.Errorf("partition %d: %w", l.n, err)
	}
	return &lostError{l.n, err}
}

// over is err as a condition.
func (l *life) over() bool { return l.err() != nil }

// kill ends the life for a reason.
func (l *life) kill(err error) {
	l.mu.Lock()
	if l.cause == nil && l.out.Err() == nil {
		l.cause = err
	}
	l.mu.Unlock()
	l.out.Close()
}

// explain replaces an error of the appender by what ended the life, if that is over.
func (l *life) explain(err error) error {
	if ended := l.err(); err != nil && ended != nil {
		return ended
	}
	return err
}

// flush waits until all is stored that was appended.
func (l *life) flush(ctx context.Context) error {
	if l == nil {
		return l.err()
	}
	return l.explain(l.out.Flush(ctx))
}

// parts is the number of parts in which data of a size is stored.
func (l *life) parts(size int) int {
	if l == nil {
		return 1
	}
	return l.out.Parts(size)
}

// append hands a message to the appender.
func (l *life) append(ctx context.Context, m stream.Message, stored func(uint64)) error {
	if l == nil {
		return l.err()
	}
	return l.explain(l.out.Append(ctx, m, stored))
}

func (c *Consumer) newPartition(n int, builders *sync.Pool) *partition {
	return &partition{
		source: c.cfg.Source, n: n, failpoint: c.cfg.Failpoint, since: time.Now(),
		messages: &c.stats.Appended, bytes: &c.stats.Bytes, builders: builders,
		purgeable: make(chan struct{}, 1), pause: service.Backoff{Most: maxReturn},
	}
}

// openLife begins to write a partition's stream. It sends nothing.
func (c *Consumer) openLife(ctx context.Context, n int) (*life, error) {
	out, err := stream.OpenAppender(ctx, c.cfg.NATS, c.cfg.Source.ShapeStream(n), stream.AppenderConfig{WindowBytes: c.cfg.WindowBytes, Stall: c.cfg.Stall, PurgeFence: true})
	if err != nil {
		return nil, topology.Explain(err)
	}
	return &life{n: n, out: out, began: time.Now()}, nil
}

// appendLog appends what a follower has gathered, if anything.
func (p *partition) appendLog(ctx context.Context, f *follower) error {
	if f.out == nil {
		return nil
	}
	data := f.out.Finish()
	if len(data) > 0 {
		f.tail.Bytes += int64(len(data))
		err := f.life.append(ctx, stream.Message{
			Subject:    p.source.LogSubject(p.n, f.handle),
			Header:     tailHeader(f.tail),
			PartHeader: tailHeader(f.appended),
			Data:       data,
		}, nil)
		if err != nil {
			return fmt.Errorf("shape %s: %w", f.handle, err)
		}
		f.appended = f.tail
		p.messages.Add(1)
		p.bytes.Add(int64(len(data)))
		p.failpoint(failpoint.AfterAppend)
	}
	f.out.Reset()
	p.builders.Put(f.out)
	f.out = nil
	return nil
}

func tailHeader(t wire.Tail) nats.Header { return stream.Header(topology.HeaderTail, t.String()) }

// appendSegment appends rows of a shape's segment in a life.
func (p *partition) appendSegment(ctx context.Context, l *life, handle string, segment uint64, rows []byte) error {
	return l.append(ctx, stream.Message{Subject: p.source.SegmentSubject(p.n, handle, segment), Data: rows}, nil)
}

// checkpoint appends how far the partition has come. It stands behind
// everything appended before, so it is true once it is stored. It replaces
// the one before it; registry.ReadCheckpoint says how.
func (p *partition) checkpoint(ctx context.Context, c wire.Checkpoint, stored func(uint64)) error {
	l := p.life.Load()
	return p.checkpointIn(ctx, l, c, func(seq uint64) {
		p.floor.Store(floorIn(c))
		if stored != nil {
			stored(seq)
		}
	})
}

// checkpointIn appends a checkpoint in a life.
func (p *partition) checkpointIn(ctx context.Context, l *life, c wire.Checkpoint, stored func(uint64)) error {
	data, err := wire.EncodeCheckpoint(c)
	if err != nil {
		return err
	}
	m := stream.Message{Subject: p.source.CheckpointSubject(p.n), Data: data}
	parts := uint64(l.parts(len(data)))
	if parts == 1 {
		m.Header = stream.Header(jetstream.MsgRollup, jetstream.MsgRollupSubject)
		return l.append(ctx, m, stored)
	}
	// Each part would remove those before it, its own first ones too.
	return l.append(ctx, m, func(last uint64) {
		p.outdated.Store(last - (parts - 1))
		select {
		case p.purgeable <- struct{}{}:
		default: // it is known already that there is something
		}
		if stored != nil {
			stored(last)
		}
	})
}

// purgeCheckpoints removes what stands before a checkpoint in parts, until ctx ends. What it cannot
// remove goes with the next one.
func (p *partition) purgeCheckpoints(ctx context.Context, js jetstream.JetStream, log *slog.Logger) error {
	for {
		select {
		case <-p.purgeable:
		case <-ctx.Done():
			return nil
		}
		st, err := js.Stream(ctx, p.source.ShapeStream(p.n))
		if err == nil {
			err = st.Purge(ctx, jetstream.WithPurgeSubject(p.source.CheckpointSubject(p.n)), jetstream.WithPurgeSequence(p.outdated.Load()))
		}
		if err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "old checkpoints not removed", slog.Int("partition", p.n), slog.Any("error", err))
		}
	}
}

// floorIn is the floor that a checkpoint tells.
func floorIn(c wire.Checkpoint) *place {
	return &place{lsn: change.LSN(c.FloorLSN), seq: c.FloorSeq}
}
