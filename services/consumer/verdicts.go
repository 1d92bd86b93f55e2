package consumer

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/stream"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// lagMost is how far a replica that answers direct gets may lag behind the stream.
const lagMost = time.Minute

// readVerdicts reads the verdicts on a partition's inner shapes that are stored
// from now on, until ctx ends. It closes following when none will be missed any
// more; what was stored before is read with each set's base (loadSet), and here
// what a replica that is asked there may not have yet.
func (s *session) readVerdicts(ctx context.Context, partition int, following chan<- struct{}) error {
	src := s.c.cfg.Source
	fail := func(err error) error {
		return ignoreEnd(ctx, fmt.Errorf("read verdicts of partition %d: %w", partition, topology.Explain(err)))
	}
	if err := src.EnsureVerdicts(ctx, s.js, s.c.cfg.Partitions, s.c.cfg.ShapeLogs.Replicas); err != nil {
		return ignoreEnd(ctx, err)
	}
	st, err := s.js.Stream(ctx, src.VerdictStream(partition))
	if err != nil {
		return fail(err)
	}
	from := st.CachedInfo().State.LastTime.Add(-lagMost)
	c, err := s.js.OrderedConsumer(ctx, src.VerdictStream(partition), jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{src.VerdictSubject(partition, "*")},
		// Not "new": the client asks with the same words if it has to begin again before the first message.
		DeliverPolicy: jetstream.DeliverByStartTimePolicy,
		OptStartTime:  &from,
	})
	if err != nil {
		return fail(err)
	}
	it, err := c.Messages(jetstream.PullMaxBytes(verdictBytes))
	if err != nil {
		return fail(err)
	}
	defer it.Stop()
	close(following)
	var parts stream.Assembler
	begun := false
	for {
		m, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fail(err)
		}
		if i, _, err := stream.Part(m.Headers()); err == nil && i > 0 && !begun {
			continue // the rest of one that was being stored; loadSet reads it whole
		}
		begun = true
		data, whole, err := parts.Add(m.Subject(), m.Headers(), m.Data())
		if err != nil {
			return fail(err)
		}
		if !whole {
			continue
		}
		name, _ := topology.SetOfVerdict(m.Subject())
		v, after, err := decodeVerdict(m.Headers(), data)
		if err != nil {
			if err := s.poisonedSet(ctx, name, err); err != nil {
				return err
			}
			continue
		}
		if !s.sets.verdict(name, v, after) {
			s.log.WarnContext(ctx, "verdicts were trimmed before they were read; the set is loaded again", slog.String("set", name))
		}
	}
}

// verdictBytes is how much the server may send in advance.
const verdictBytes = 4 << 20

func decodeVerdict(h nats.Header, data []byte) (v *wire.Verdict, after change.Offset, err error) {
	if v, err = wire.DecodeVerdict(data); err != nil {
		return nil, after, err
	}
	if after, err = change.ParseOffset(h.Get(topology.HeaderVerdictAfter)); err != nil {
		return nil, after, fmt.Errorf("header %s: %w", topology.HeaderVerdictAfter, err)
	}
	return v, after, nil
}

// verdict takes a verdict; after is the offset of the one before it. It returns
// false where one is missing in between, and has the set loaded again.
func (s *sets) verdict(name string, v *wire.Verdict, after change.Offset) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.byName[name]
	switch {
	case set == nil: // nobody needs it, or the shape that does is about to be made
		return true
	case !set.history.Loaded():
		set.latest = v.Offset
		return true
	}
	defer s.tell()
	if set.history.Add(v, after) {
		return true
	}
	set.history.Unload()
	set.latest = v.Offset
	return false
}
