package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/pkg/topology"
)

// ErrShrink says that a source was to have fewer partitions than it has.
var ErrShrink = errors.New("a source cannot have fewer partitions than before")

// Grow gives the source more partitions, for shapes that are made from then on: first the streams, like that of partition 0,
// then the record, which is what everybody goes by. Dying in between leaves streams that nobody uses; whoever calls
// Grow again finds them. It returns the record as it was and as it is.
func (r *Shapes) Grow(ctx context.Context, source topology.Source, partitions int, at func(failpoint.Point)) (was, now Source, err error) {
	for {
		e, err := r.kv.Get(ctx, topology.SourceKey)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			return was, now, fmt.Errorf("the source's record: %w", ErrNotFound)
		}
		if err != nil {
			return was, now, fmt.Errorf("read the source's record: %w", topology.Explain(err))
		}
		was = Source{}
		if err := json.Unmarshal(e.Value(), &was); err != nil {
			return was, now, fmt.Errorf("read the source's record: %w", err)
		}
		switch {
		case partitions > topology.MaxPartitions:
			return was, was, fmt.Errorf("a source has %d partitions at most", topology.MaxPartitions)
		case partitions < was.Partitions:
			return was, was, fmt.Errorf("%w: it has %d, and a shape stays in the partition that it was made in; for fewer, use another source name", ErrShrink, was.Partitions)
		}
		cfg, err := source.ShapeLogConfigOf(ctx, r.js, 0)
		if err != nil {
			return was, was, err
		}
		for p := was.Partitions; p < partitions; p++ {
			if err := source.EnsureShapeLog(ctx, r.js, p, cfg); err != nil {
				return was, was, err
			}
			at(failpoint.StreamMade)
		}
		if now = was; partitions == was.Partitions {
			return was, now, nil
		}
		now.Partitions = partitions
		data, err := json.Marshal(now)
		if err != nil {
			return was, was, fmt.Errorf("store the source's record: %w", err)
		}
		at(failpoint.BeforeGrown)
		switch _, err := r.kv.Update(ctx, topology.SourceKey, data, e.Revision()); {
		case err == nil:
			at(failpoint.AfterGrown)
			return was, now, nil
		case !errors.Is(conflict(err), ErrConflict):
			return was, was, fmt.Errorf("store the source's record: %w", topology.Explain(err))
		}
	}
}
