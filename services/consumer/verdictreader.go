package consumer

import (
	"context"
	"errors"
	"fmt"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/stream"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// readVerdicts reads the verdicts on a partition's inner shapes, those still
// stored first, until ctx ends. Another stream under the name ends it, and with it the
// session: what was read of the one before says nothing of what that one will bring.
func (s *session) readVerdicts(ctx context.Context, partition int) error {
	src := s.c.cfg.Source
	fail := func(err error) error {
		return ignoreEnd(ctx, fmt.Errorf("read verdicts of partition %d: %w", partition, topology.Explain(err)))
	}
	if err := src.EnsureVerdicts(ctx, s.js, s.c.cfg.Partitions, s.c.cfg.ShapeLogs.Replicas); err != nil {
		return ignoreEnd(ctx, err)
	}
	r, err := stream.OpenSubjectsReader(ctx, s.js, src.VerdictStream(partition), src.VerdictSubject(partition, "*"))
	if err != nil {
		return fail(err)
	}
	defer r.Close() //nolint:contextcheck // it has to work after ctx has ended
	for {
		m, err := r.Next(ctx)
		if err != nil {
			return fail(err)
		}
		v, err := wire.DecodeVerdict(m.Data)
		if err != nil {
			return fail(err)
		}
		after, err := change.ParseOffset(m.Header.Get(topology.HeaderVerdictAfter))
		if err != nil {
			return fail(fmt.Errorf("header %s: %w", topology.HeaderVerdictAfter, err))
		}
		name, _ := topology.SetOfVerdict(m.Subject)
		if err := s.sets.verdict(name, v, after); err != nil {
			return fail(err)
		}
	}
}

// readBase adds the values of a base that was announced.
func (s *session) readBase(ctx context.Context, partition int, set string, b wire.Base, add func(key string, count int64)) error {
	src := s.c.cfg.Source
	r := stream.NewSubjectReader(s.js, src.VerdictStream(partition), src.BaseValuesSubject(partition, set, b.Number), 1)
	for range b.Messages {
		m, found, err := r.Next(ctx)
		if err != nil {
			return err
		}
		if !found {
			return errors.New("it was replaced meanwhile")
		}
		values, err := wire.DecodeBaseValues(m.Data)
		if err != nil {
			return err
		}
		for _, v := range values {
			add(v.Key, v.Count)
		}
	}
	return nil
}
