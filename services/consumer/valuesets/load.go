package valuesets

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/internal/valueset"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// ErrNoBase says that the materializer has not written a set's first base yet.
var ErrNoBase = errors.New("waiting for the values that its subquery selects; is a materializer running?")

// PoisonedError says that a stored verdict cannot be understood, however often it is read.
type PoisonedError struct {
	seq uint64
	err error
}

func (e *PoisonedError) Error() string {
	return fmt.Sprintf("message %d of the verdicts cannot be read: %v; an operator has to remove it before the shape is created again", e.seq, e.err)
}
func (e *PoisonedError) Unwrap() error { return e.err }

// The pauses between looks at what is stored.
const (
	firstPause = time.Millisecond
	longPause  = 100 * time.Millisecond
)

// errReplaced says that a newer base came while one was read.
var errReplaced = errors.New("the base was replaced while it was read")

// Load reads a set's stored verdicts and its newest base, unless that has been
// done. The verdicts come first: those that were trimmed before are in every base
// read after. It ends when the live reader takes over without a gap.
func (s *Sets) Load(ctx context.Context, set *Set) error {
	select {
	case set.loading <- struct{}{}:
		defer func() { <-set.loading }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if s.loaded(set) {
		return nil
	}
	select {
	case <-set.following:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	src, p := s.cfg.Source, set.from.Partition
	var chain Chain
	var base *valueset.Set
	var at change.Offset
	r := stream.NewSubjectReader(s.cfg.JS, src.VerdictStream(p), src.VerdictSubject(p, set.name), 1)
	for look := firstPause; ; look = min(2*look, longPause) {
		broken, err := readChain(ctx, r, &chain)
		if err != nil {
			return fmt.Errorf("read the verdicts on %s: %w", set.name, topology.Explain(err))
		}
		if base == nil || broken {
			base, at, err = s.readBase(ctx, set)
			if errors.Is(err, errReplaced) {
				continue
			}
			if err != nil {
				return err
			}
		}
		if s.Begin(set, base, at, chain) {
			s.cfg.Values.Add(int64(base.Len()))
			return nil
		}
		service.WaitFor(ctx, look) // a replica may lag behind what the live reader was sent
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// readChain adds the verdicts that are stored. Where some were trimmed while it
// read, it begins with the first behind them, and says so.
func readChain(ctx context.Context, r *stream.SubjectReader, chain *Chain) (broken bool, err error) {
	for {
		m, ok, err := r.Next(ctx)
		if err != nil || !ok {
			return broken, err
		}
		v, after, err := decodeVerdict(m.Header, m.Data)
		if err != nil {
			return broken, &PoisonedError{m.Seq, err}
		}
		if !chain.Add(v, after) {
			*chain, broken = Chain{}, true
			chain.Add(v, after)
		}
	}
}

// readBase reads the newest base of a set.
func (s *Sets) readBase(ctx context.Context, set *Set) (*valueset.Set, change.Offset, error) {
	src, p := s.cfg.Source, set.from.Partition
	fail := func(err error) (*valueset.Set, change.Offset, error) {
		return nil, change.Offset{}, fmt.Errorf("read the base of %s: %w", set.name, topology.Explain(err))
	}
	st, err := s.cfg.JS.Stream(ctx, src.VerdictStream(p))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, change.Offset{}, ErrNoBase
	}
	if err != nil {
		return fail(err)
	}
	m, err := st.GetLastMsgForSubject(ctx, src.BaseSubject(p, set.name))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, change.Offset{}, ErrNoBase
	}
	if err != nil {
		return fail(err)
	}
	b, err := wire.DecodeBase(m.Data)
	if err != nil {
		return fail(err)
	}
	base := &valueset.Set{}
	r := stream.NewSubjectReader(s.cfg.JS, src.VerdictStream(p), src.BaseValuesSubject(p, set.name, b.Number), 1)
	for range b.Messages {
		m, ok, err := r.Next(ctx)
		if err == nil && !ok {
			return fail(errReplaced)
		}
		var values wire.Deltas
		if err == nil {
			values, err = wire.DecodeBaseValues(m.Data)
		}
		if err != nil {
			return fail(err)
		}
		for key, n := range values.All() {
			base.Add(key, n)
		}
	}
	if uint64(base.Len()) != b.Values {
		return fail(fmt.Errorf("it has %d values, its announcement says %d", base.Len(), b.Values))
	}
	return base, b.Offset(), nil
}

// loaded reports whether a set is loaded.
func (s *Sets) loaded(set *Set) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return set.history.Loaded()
}

// Begin begins a set's history, unless the live reader has been sent more than was read.
func (s *Sets) Begin(set *Set, base *valueset.Set, at change.Offset, chain Chain) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	chain.Begin(at)
	if chain.Through().Before(set.latest) {
		return false
	}
	set.history.Load(base, at, chain)
	s.tell()
	return true
}

// Unload has a set loaded again before it is used.
func (s *Sets) Unload(set *Set) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set.history.Unload()
	s.tell()
}

// verdict takes a verdict; after is the offset of the one before it. It returns
// false where one is missing in between, and has the set loaded again.
func (s *Sets) verdict(name string, v *wire.Verdict, after change.Offset) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.byName[name]
	switch {
	case set == nil: // nobody needs it, or the shape that does is about to be made
		return true
	case !set.history.Loaded():
		if set.latest.Before(v.Offset) {
			set.latest = v.Offset
		}
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
