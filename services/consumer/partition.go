package consumer

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/stream"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// partition writes the logs of its shapes. Its appender is the only writer
// of the partition's stream. Safe for concurrent use.
type partition struct {
	source    topology.Source
	n         int
	out       *stream.Appender
	failpoint func(name string)
	messages  *atomic.Int64
	bytes     *atomic.Int64
	builders  *sync.Pool

	outdated  atomic.Uint64 // the first sequence of the last checkpoint in parts
	purgeable chan struct{} // there are checkpoints before that
}

func (c *Consumer) openPartition(ctx context.Context, n int, builders *sync.Pool) (*partition, error) {
	out, err := stream.OpenAppender(ctx, c.cfg.NATS, c.cfg.Source.ShapeStream(n), stream.AppenderConfig{WindowBytes: c.cfg.WindowBytes, PurgeFence: true})
	if err != nil {
		return nil, err
	}
	return &partition{
		source: c.cfg.Source, n: n, out: out, failpoint: c.cfg.Failpoint,
		messages: &c.stats.Appended, bytes: &c.stats.Bytes, builders: builders,
		purgeable: make(chan struct{}, 1),
	}, nil
}

// appendLog appends what a follower has gathered, if anything.
func (p *partition) appendLog(ctx context.Context, f *follower) error {
	if f.out == nil {
		return nil
	}
	data := f.out.Finish()
	if len(data) > 0 {
		f.tail.Bytes += int64(len(data))
		err := p.out.Append(ctx, stream.Message{
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
		p.failpoint("after_append")
	}
	f.out.Reset()
	p.builders.Put(f.out)
	f.out = nil
	return nil
}

func tailHeader(t wire.Tail) nats.Header { return stream.Header(topology.HeaderTail, t.String()) }

// appendSegment appends rows of a shape's segment.
func (p *partition) appendSegment(ctx context.Context, handle string, segment uint64, rows []byte) error {
	return p.out.Append(ctx, stream.Message{Subject: p.source.SegmentSubject(p.n, handle, segment), Data: rows}, nil)
}

// checkpoint appends how far the partition has come. It stands behind
// everything appended before, so it is true once it is stored. It replaces
// the one before it; registry.ReadCheckpoint says how.
func (p *partition) checkpoint(ctx context.Context, c wire.Checkpoint, stored func(uint64)) error {
	data, err := wire.EncodeCheckpoint(c)
	if err != nil {
		return err
	}
	m := stream.Message{Subject: p.source.CheckpointSubject(p.n), Data: data}
	parts := uint64(p.out.Parts(len(data)))
	if parts == 1 {
		m.Header = stream.Header(jetstream.MsgRollup, jetstream.MsgRollupSubject)
		return p.out.Append(ctx, m, stored)
	}
	// Each part would remove those before it, its own first ones too.
	return p.out.Append(ctx, m, func(last uint64) {
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
