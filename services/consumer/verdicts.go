package consumer

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/stream"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/valueset"
	"github.com/shapebus/shapebus/pkg/wire"
)

// readVerdicts reads the verdicts on a partition's inner shapes, those still
// stored first, until ctx ends.
func (s *session) readVerdicts(ctx context.Context, partition int) error {
	src := s.c.cfg.Source
	fail := func(err error) error {
		return ignoreEnd(ctx, fmt.Errorf("read verdicts of partition %d: %w", partition, topology.Explain(err)))
	}
	if err := src.EnsureVerdicts(ctx, s.js, s.c.cfg.Partitions, s.c.cfg.ShapeLogs.Replicas); err != nil {
		return ignoreEnd(ctx, err)
	}
	c, err := s.js.OrderedConsumer(ctx, src.VerdictStream(partition), jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{src.VerdictSubject(partition, "*")},
		DeliverPolicy:  jetstream.DeliverAllPolicy,
	})
	if err != nil {
		return fail(err)
	}
	it, err := c.Messages(jetstream.PullMaxBytes(verdictBytes))
	if err != nil {
		return fail(err)
	}
	defer it.Stop()
	var parts stream.Assembler
	for {
		m, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fail(err)
		}
		data, whole, err := parts.Add(m.Subject(), m.Headers(), m.Data())
		if err != nil {
			return fail(err)
		}
		if !whole {
			continue
		}
		v, err := wire.DecodeVerdict(data)
		if err != nil {
			return fail(err)
		}
		after, err := change.ParseOffset(m.Headers().Get(topology.HeaderVerdictAfter))
		if err != nil {
			return fail(fmt.Errorf("header %s: %w", topology.HeaderVerdictAfter, err))
		}
		name, _ := topology.SetOfVerdict(m.Subject())
		if err := s.sets.verdict(name, v, after); err != nil {
			return fail(err)
		}
	}
}

// verdictBytes is how much the server may send in advance.
const verdictBytes = 4 << 20

// errMissed says that verdicts were trimmed before they were read. The next
// session begins with a base that holds them.
var errMissed = errors.New("verdicts were trimmed before they were read")

// verdict takes a verdict. after is the offset of the one before it.
func (s *sets) verdict(name string, v *wire.Verdict, after change.Offset) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.byName[name]
	if set == nil { // the shape that needs it is about to be made
		set = &valueSet{name: name}
		s.byName[name] = set
	}
	switch {
	case set.read && !set.last.Before(v.Offset):
		return nil // the server repeats itself
	case set.read && set.last.Before(after), set.base != nil && set.passed.Before(after):
		return errMissed
	case !set.read:
		set.read, set.first = true, after
	}
	set.last = v.Offset
	set.verdicts = append(set.verdicts, v)
	if set.passed.Before(v.Offset) {
		set.passed = v.Offset
	}
	s.tell()
	return nil
}

// errNoBase says that the materializer has not written a set's first base yet.
var errNoBase = errors.New("waiting for the values that its subquery selects; is a materializer running?")

// loadBase reads the newest base of a set, unless that has been done. The
// verdicts are followed before: they go on where the base ends.
func (s *session) loadBase(ctx context.Context, set *valueSet) error {
	s.sets.mu.Lock()
	loaded := set.base != nil
	s.sets.mu.Unlock()
	if loaded {
		return nil
	}
	src, p := s.c.cfg.Source, set.from.Partition
	st, err := s.js.Stream(ctx, src.VerdictStream(p))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return errNoBase
	}
	if err != nil {
		return fmt.Errorf("read the base of %s: %w", set.name, topology.Explain(err))
	}
	m, err := st.GetLastMsgForSubject(ctx, src.BaseSubject(p, set.name))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return errNoBase
	}
	if err != nil {
		return fmt.Errorf("read the base of %s: %w", set.name, err)
	}
	b, err := wire.DecodeBase(m.Data)
	if err != nil {
		return fmt.Errorf("read the base of %s: %w", set.name, err)
	}
	base := &valueset.Set{}
	var seq, got uint64
	for got < b.Messages {
		n, last, err := s.baseBatch(ctx, src.VerdictStream(p), src.BaseValuesSubject(p, set.name, b.Number), seq+1, base)
		if err != nil {
			return fmt.Errorf("read the base of %s: %w", set.name, err)
		}
		got, seq = got+n, last
	}
	s.sets.mu.Lock()
	defer s.sets.mu.Unlock()
	if set.read && b.Offset().Before(set.first) {
		return fmt.Errorf("the base of %s at %s: %w", set.name, b.Offset(), errMissed) // and there is a newer one
	}
	if set.base == nil {
		s.c.stats.Values.Add(int64(base.Len()))
		set.base, set.at, set.whole = base, b.Offset(), change.LSN(b.LSN)
		if set.passed.Before(set.at) {
			set.passed = set.at
		}
		s.sets.tell()
	}
	return nil
}

// baseBatch adds some messages of a base, from a sequence on.
func (s *session) baseBatch(ctx context.Context, streamName, subject string, from uint64, base *valueset.Set) (n, last uint64, err error) {
	answer, err := jetstreamext.GetBatch(ctx, s.js, streamName, baseBatch, jetstreamext.GetBatchSubject(subject), jetstreamext.GetBatchSeq(from))
	if err != nil {
		return 0, 0, err
	}
	for m, err := range answer {
		if errors.Is(err, jetstreamext.ErrNoMessages) {
			return 0, 0, errors.New("it was replaced meanwhile")
		}
		if err != nil {
			return 0, 0, err
		}
		values, err := wire.DecodeBaseValues(m.Data)
		if err != nil {
			return 0, 0, err
		}
		for _, v := range values {
			base.Add(v.Key, v.Count)
		}
		n, last = n+1, m.Sequence
	}
	if n == 0 {
		return 0, 0, errors.New("the server did not answer")
	}
	return n, last, nil
}

// baseBatch is how many messages of a base are asked for at once.
const baseBatch = 16
