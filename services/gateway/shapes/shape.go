package shapes

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/services/gateway/protocol"
)

// ErrOver says that this life of a shape is over: ask for its definition again.
var ErrOver = errors.New("the shape has ended")

// ErrOutOfBounds says that a place is behind everything that has happened.
var ErrOutOfBounds = errors.New("the place is beyond the end of the shape")

// ErrStalled says that what there is cannot be told now: ask again.
var ErrStalled = errors.New("the shape cannot be read up to its end just now")

// Shape is one life of a shape, followed by this process. Safe for concurrent use.
type Shape struct {
	keeper  *Keeper
	shape   *client.Shape
	table   *Table
	encoder *protocol.Encoder
	schema  string
	stream  string
	cancel  context.CancelCauseFunc
	done    chan struct{}
	ways    []string // in which it was asked for, the newest last; guarded by the keeper's mutex

	pieces together[*Body]
	asks   together[struct{}]
	looks  together[struct{}]

	mu       sync.Mutex    // guards what follows
	begins   []*Beginning  // that readers may begin with, the newest last
	looked   time.Time     // when begins were read
	tail     change.Offset // the last commit marker that clients may see: nothing is missing before it
	window   window
	changed  chan struct{} // closed when the tail moves, or anything below changes
	err      error         // what ended it
	stalled  error
	lsn      change.LSN // nothing is missing up to here at the tail
	seen     change.LSN // something is there, perhaps behind the tail
	asked    time.Time  // when the control plane was asked for these
	bodies   map[change.Offset]*Body
	kept     int // bytes of these
	used     time.Time
	users    int
	answers  int              // at-tail answers since
	answered time.Time        // the time of the first of them
	proved   [2]change.Offset // between these nothing is taken back; see piece
	twice    change.Offset    // the marker of what was written again after it was taken back
}

// Handle names the life.
func (s *Shape) Handle() string { return s.shape.Handle() }

// Schema is the value of the schema header.
func (s *Shape) Schema() string { return s.schema }

// Table is the shape's table.
func (s *Shape) Table() *Table { return s.table }

// Info is what the control plane said of the shape when it was found.
func (s *Shape) Info() control.Shape { return s.shape.Info() }

// Encoder makes the shape's messages.
func (s *Shape) Encoder() *protocol.Encoder { return s.encoder }

// Release says that an answer does not need the shape any more. Every Find needs one.
func (s *Shape) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users--
	s.used = time.Now()
}

// Err is what ended the shape, nil while it lives.
func (s *Shape) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Tail is the place behind everything that clients may see.
func (s *Shape) Tail() (protocol.Offset, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return protocol.Behind(s.tail), s.err
}

// Stalled is what keeps the shape from being up to date, nil if nothing is known to.
func (s *Shape) Stalled() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stalled
}

// Read returns what stands behind a place of the log, as much as one answer holds, or nil if that is nothing. It must be let go of.
func (s *Shape) Read(ctx context.Context, from Place) (*Body, error) {
	b, _, err := s.Await(ctx, from)
	return b, err
}

// Await is Read for who waits: if there is nothing, it returns a channel that is closed when there may be something.
func (s *Shape) Await(ctx context.Context, from Place) (*Body, <-chan struct{}, error) {
	at := from.Offset
	s.mu.Lock()
	if s.err != nil {
		defer s.mu.Unlock()
		return nil, nil, s.err
	}
	if !at.Before(s.tail) {
		defer s.mu.Unlock()
		return nil, s.changed, nil
	}
	b, ok := s.bodies[at]
	s.mu.Unlock()
	if ok {
		b, err := s.held(b)
		return b, nil, err
	}
	b, err := s.make(ctx, at)
	return b, nil, err
}

// make makes the body of what stands behind a place that is before the tail.
func (s *Shape) make(ctx context.Context, at change.Offset) (*Body, error) {
	s.mu.Lock()
	if b, ok := s.bodies[at]; ok {
		s.mu.Unlock()
		return s.held(b)
	}
	if got, ok := s.window.after(at, s.keeper.cfg.ChunkBytes); ok {
		b := &Body{
			Next: protocol.Behind(s.tail), UpToDate: true, Entries: len(got.ends), LSN: s.tail.LSN,
			messages: got.messages, ends: got.ends, xids: got.xids,
		}
		s.keepLocked(at, b)
		s.mu.Unlock()
		return s.held(b)
	}
	tail := protocol.Behind(s.tail)
	s.mu.Unlock()
	key := s.Handle() + " behind " + at.String()
	return s.large(ctx, [2]string{key, key + upTo(tail)}, func(ctx context.Context) (*Body, error) {
		return s.pieces.ask(ctx, key, func(ctx context.Context) (*Body, error) { return s.piece(ctx, at) })
	})
}

// upTo ends the key of a body that ends at a tail: when that has moved another one begins where it does.
func upTo(tail protocol.Offset) string { return " up to " + tail.String() }

// held holds a body, if there is room.
func (s *Shape) held(b *Body) (*Body, error) {
	if !s.keeper.room.hold(b) {
		return nil, ErrNoRoom
	}
	return b, nil
}

// cached returns a body of the cache, held, or nil.
func (s *Shape) cached(key string) *Body {
	if b := s.keeper.cache.get(key); b != nil && s.keeper.room.hold(b) {
		return b
	}
	return nil
}

// large returns a body of the cache, where it has one of the keys, or makes it. It is held. One that is not full is kept for those
// who come before the tail moves: a large transaction wakes all who wait.
func (s *Shape) large(ctx context.Context, keys [2]string, build func(context.Context) (*Body, error)) (*Body, error) {
	for _, key := range keys {
		if b := s.cached(key); b != nil {
			return b, nil
		}
	}
	k := s.keeper
	if err := k.room.turn(ctx); err != nil {
		return nil, err
	}
	defer k.room.turns.Release(1)
	b := cmp.Or(k.cache.get(keys[0]), k.cache.get(keys[1]))
	if b == nil {
		var err error
		if b, err = build(ctx); err != nil || b == nil {
			return nil, err
		}
		key := keys[0]
		if !b.Full {
			key += upTo(b.Next)
		}
		k.cache.put(key, b)
	}
	if err := k.room.await(ctx, b); err != nil {
		return nil, err
	}
	return b, nil
}

// Room makes room for an answer of so many bytes, which leave gives back.
func (s *Shape) Room(ctx context.Context, n int) (leave func(), err error) {
	r := s.keeper.room
	weight := min(int64(n), r.limit)
	if err := r.acquire(ctx, weight); err != nil {
		return nil, err
	}
	return func() { r.bytes.Release(weight) }, nil
}

// LetGo says that an answer does not need a body any more.
func (s *Shape) LetGo(b *Body) { s.keeper.room.letGo(b) }

// maxBodies bounds the answers that are kept for who asks from the same place until the tail moves. In bytes they are at most twice the
// window: anybody can ask from each place in it.
const maxBodies = 32

func (s *Shape) keepLocked(at change.Offset, b *Body) {
	if len(s.bodies) >= maxBodies || s.kept+b.size() > 2*s.keeper.cfg.WindowBytes {
		s.dropLocked()
	}
	s.bodies[at] = b
	s.kept += b.size()
}

func (s *Shape) dropLocked() {
	clear(s.bodies)
	s.kept = 0
}

// Empty is the answer that there is nothing behind a place, with the LSN up to which that is known. It is nil when something has
// come meanwhile: the answer names the tail, and who goes on there would miss it.
func (s *Shape) Empty(ctx context.Context, from Place) (*Body, error) {
	failed := s.ask(ctx, askedFor)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return nil, s.err
	case !from.Now && from.Before(s.tail):
		return nil, nil
	case !from.Now && !reached(from.Offset, s.tail):
		return nil, ErrStalled
	case s.stalled != nil:
		return nil, fmt.Errorf("%w: %w", ErrStalled, s.stalled)
	case failed != nil && ctx.Err() != nil:
		return nil, failed
	}
	return &Body{Next: protocol.Behind(s.tail), UpToDate: true, LSN: max(s.lsn, s.tail.LSN)}, nil
}

// reached reports whether everything up to a place is before the tail. An answer may have been read from the log ahead of it, and have
// ended inside of a transaction.
func reached(at, tail change.Offset) bool {
	return !tail.Before(at) || at.Op == math.MaxUint64 && at.LSN == tail.LSN
}

// reachWithin is how long a place may be ahead of the tail.
const reachWithin = 5 * time.Second

// Reach waits until the tail has come to a place, or for a while.
func (s *Shape) Reach(ctx context.Context, from Place) {
	timer := time.NewTimer(reachWithin)
	defer timer.Stop()
	for {
		s.mu.Lock()
		done, changed := s.err != nil || from.Now || reached(from.Offset, s.tail), s.changed
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// askedFor is how long what the control plane said is good enough for an answer that says so.
const askedFor = 100 * time.Millisecond

// ask learns how far the log has come, once for all who want to know, if that is not known for as short a time as is good enough.
func (s *Shape) ask(ctx context.Context, enough time.Duration) error {
	s.mu.Lock()
	fresh := time.Since(s.asked) < enough
	s.mu.Unlock()
	if fresh {
		return nil
	}
	_, err := s.asks.ask(ctx, "", func(ctx context.Context) (none struct{}, err error) {
		known, err := s.shape.Reach(ctx)
		if err != nil {
			return none, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.asked = time.Now(); known == nil {
			return none, nil
		}
		if !s.tail.Before(known.Offset) { // else what the log has up to there is still to come
			s.lsn = max(s.lsn, known.LSN)
		}
		s.seen = max(s.seen, known.LSN, known.Offset.LSN)
		return none, nil
	})
	return err
}

// Answered counts an answer that says that nothing is new to who did not wait for it, and returns how long the next one of these should wait: clients
// that ask again and again at one place take that for a loop.
func (s *Shape) Answered() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Sub(s.answered) > answersIn {
		s.answers, s.answered = 0, now
	}
	if s.answers++; s.answers > answersFree {
		return answerPause
	}
	return 0
}

const (
	answersIn   = 500 * time.Millisecond
	answersFree = 3
	answerPause = 120 * time.Millisecond
)

func (s *Shape) subject() string {
	return s.keeper.cfg.Source.LogSubject(s.shape.Info().Partition, s.Handle())
}

// end ends the shape for all who read it.
func (s *Shape) end(err error) {
	s.cancel(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	s.signalLocked()
}

func (s *Shape) signalLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
	s.dropLocked()
}

// InBounds reports whether a place can be one of the shape's. Another gateway may be ahead of this one, and clients go on from LSNs
// of quiet times; so the control plane is asked before a place is taken for none. When it cannot be, the place counts.
func (s *Shape) InBounds(ctx context.Context, at Place) bool {
	return s.saw(at) || s.ask(ctx, 0) != nil || s.saw(at)
}

// saw reports whether a place is not beyond all that is known to be there.
func (s *Shape) saw(at Place) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := max(s.seen, s.tail.LSN, s.lsn)
	return at.LSN <= seen || at.LSN == seen+1
}

func (s *Shape) log() *slog.Logger {
	return s.keeper.cfg.Log.With(slog.String("handle", s.Handle()))
}
