package shapelog

import (
	"context"
	"log/slog"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/wire"
)

// Checkpoint appends how far the partition has come. It stands behind
// everything appended before, so it is true once it is stored. It replaces
// the one before it; registry.ReadCheckpoint says how.
func (p *Partition) Checkpoint(ctx context.Context, w *Writer, c wire.Checkpoint, stored func(uint64)) error {
	data, err := wire.EncodeCheckpoint(c)
	if err != nil {
		return err
	}
	m := stream.Message{Subject: p.cfg.Source.CheckpointSubject(p.N), Data: data}
	parts := uint64(w.parts(len(data)))
	if parts == 1 {
		m.Header = stream.Header(jetstream.MsgRollup, jetstream.MsgRollupSubject)
		return w.append(ctx, m, stored)
	}
	// Each part would remove those before it, its own first ones too.
	return w.append(ctx, m, func(last uint64) {
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

// PurgeCheckpoints removes what stands before a checkpoint in parts, until ctx ends. What it cannot
// remove goes with the next one.
func (p *Partition) PurgeCheckpoints(ctx context.Context, log *slog.Logger) error {
	for {
		select {
		case <-p.purgeable:
		case <-ctx.Done():
			return nil
		}
		st, err := p.cfg.JS.Stream(ctx, p.cfg.Source.ShapeStream(p.N))
		if err == nil {
			err = st.Purge(ctx, jetstream.WithPurgeSubject(p.cfg.Source.CheckpointSubject(p.N)), jetstream.WithPurgeSequence(p.outdated.Load()))
		}
		if err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "old checkpoints not removed", slog.Int("partition", p.N), slog.Any("error", err))
		}
	}
}
