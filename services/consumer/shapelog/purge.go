package shapelog

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// Purge removes a shape's log but for the last message, its generation and its segments: in this order, so that nothing
// refers to rows that are gone.
func (p *Partition) Purge(ctx context.Context, handle string) error {
	st, err := p.stream(ctx)
	if err != nil {
		return err
	}
	if err := stream.PurgeToLast(ctx, st, p.cfg.Source.LogSubject(p.N, handle)); err != nil {
		return err
	}
	if err := st.Purge(ctx, jetstream.WithPurgeSubject(p.cfg.Source.GenerationSubject(p.N, handle))); err != nil {
		return err
	}
	return p.PurgeSegments(ctx, handle, 0)
}

// PurgeSegments removes a shape's segments but for one.
func (p *Partition) PurgeSegments(ctx context.Context, handle string, keep uint64) error {
	src := p.cfg.Source
	st, err := p.stream(ctx)
	if err != nil {
		return err
	}
	info, err := st.Info(ctx, jetstream.WithSubjectFilter(src.SegmentSubjects(p.N, handle)))
	if err != nil {
		return err
	}
	for subject := range info.State.Subjects {
		if subject == src.SegmentSubject(p.N, handle, keep) {
			continue
		}
		if err := stream.Purge(ctx, st, subject, 0); err != nil {
			return err
		}
	}
	return nil
}

// stream looks up the partition's stream.
func (p *Partition) stream(ctx context.Context) (jetstream.Stream, error) {
	return p.cfg.JS.Stream(ctx, p.cfg.Source.ShapeStream(p.N))
}

// Logs returns the subjects of the partition's logs.
func (p *Partition) Logs(ctx context.Context) ([]string, error) {
	sizes, err := p.sizes(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the logs of partition %d: %w", p.N, err)
	}
	return slices.Collect(maps.Keys(sizes)), nil
}

// sizes are the numbers of messages of the partition's logs, by subject.
func (p *Partition) sizes(ctx context.Context) (map[string]uint64, error) {
	st, err := p.stream(ctx)
	if err != nil {
		return nil, err
	}
	info, err := st.Info(ctx, jetstream.WithSubjectFilter(p.cfg.Source.LogSubjects(p.N)))
	if err != nil {
		return nil, err
	}
	return info.State.Subjects, nil
}

// Sweep removes the logs of shapes that ended longer ago than the retention. known tells of a handle whether somebody follows its log, or has a
// record that says so.
func (p *Partition) Sweep(ctx context.Context, retention time.Duration, known func(handle string) bool) error {
	sizes, err := p.sizes(ctx)
	if err != nil {
		return err
	}
	st, err := p.stream(ctx)
	if err != nil {
		return err
	}
	// An ended shape's log is purged down to its last word. Where somebody died over that nobody does it again for a shape without a record.
	maps.DeleteFunc(sizes, func(subject string, messages uint64) bool {
		return messages != 1 && known(topology.HandleOfLog(subject))
	})
	var over []string
	err = stream.Last(ctx, p.cfg.JS, p.cfg.Source.ShapeStream(p.N), slices.Collect(maps.Keys(sizes)), func(m *jetstream.RawStreamMsg) error {
		if tail, err := wire.ParseTail(m.Header.Get(topology.HeaderTail)); err == nil && tail.Ended && time.Since(m.Time) >= retention {
			over = append(over, m.Subject)
		}
		return nil
	})
	for _, subject := range over {
		if err == nil { // a fold that has died may have left rows, and nobody looks for them when the log is gone
			err = p.Purge(ctx, topology.HandleOfLog(subject))
		}
		if err == nil {
			err = st.Purge(ctx, jetstream.WithPurgeSubject(subject))
		}
	}
	return err
}
