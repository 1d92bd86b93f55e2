package consumer

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/valueset"
	"github.com/shapebus/shapebus/pkg/wire"
)

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
	if err := s.readBase(ctx, p, set.name, b, base.Add); err != nil {
		return fmt.Errorf("read the base of %s: %w", set.name, err)
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
