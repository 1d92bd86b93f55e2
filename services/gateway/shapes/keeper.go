package shapes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/tracing"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/services/gateway/protocol"
)

// Config is what a Keeper needs.
type Config struct {
	Source      topology.Source
	NATS        *nats.Conn
	Log         *slog.Logger
	ChunkBytes  int           // a piece is full when it is as large
	WindowBytes int           // held of the end of each shape's log
	CacheBytes  int           // held of pieces, of all shapes together
	SendBytes   int           // held for answers that are being sent, beside that
	Buffer      int           // read from the log at once
	Idle        time.Duration // a shape that nobody asks for is followed that long
	MaxShapes   int           // followed at once
	APIPrefix   string        // of JetStream's subjects
	Tracer      *tracing.Tracer
}

// Errors of Find.
var (
	// ErrBusy says that so many shapes are followed that none can be added now.
	ErrBusy = errors.New("too many shapes are in use")
	// ErrCreating says that a shape's snapshot is still being taken. Ask again.
	ErrCreating = errors.New("the shape's snapshot is still being taken")
)

// Keeper finds shapes and follows those that are asked for. Safe for concurrent use.
type Keeper struct {
	cfg    Config
	client *client.Client
	js     jetstream.JetStream
	cache  *cache
	room   *room
	finds  together[*Shape]

	mu       sync.Mutex
	byDef    map[string]*Shape // by protocol.Definition.Key
	byHandle map[string]*Shape
}

// New returns a keeper. Run must be called for shapes to be let go of.
func New(cfg Config) (*Keeper, error) {
	c, err := client.New(cfg.NATS, string(cfg.Source), client.WithAPIPrefix(cfg.APIPrefix))
	if err != nil {
		return nil, err
	}
	js, err := topology.JetStream(cfg.NATS, cfg.APIPrefix)
	if err != nil {
		return nil, err
	}
	return &Keeper{cfg: cfg, client: c, js: js, cache: newCache(cfg.CacheBytes), room: newRoom(cfg.SendBytes), byDef: map[string]*Shape{}, byHandle: map[string]*Shape{}}, nil
}

// Client is the client that the keeper reads with.
func (k *Keeper) Client() *client.Client { return k.client }

// Known returns the shape of a definition if it is followed already, nil if not. It must be released.
func (k *Keeper) Known(def *protocol.Definition) *Shape {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.knownLocked(def.Key())
}

func (k *Keeper) knownLocked(key string) *Shape {
	s := k.byDef[key]
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		k.dropLocked(s)
		return nil
	}
	s.users++
	return s
}

// Find returns the shape of a definition, which is made if there is none. It must be released.
func (k *Keeper) Find(ctx context.Context, def *protocol.Definition) (*Shape, error) {
	key := def.Key()
	for {
		k.mu.Lock()
		s := k.knownLocked(key)
		k.mu.Unlock()
		if s != nil {
			return s, nil
		}
		if _, err := k.finds.ask(ctx, key, func(ctx context.Context) (*Shape, error) { return k.open(ctx, key, def) }); err != nil {
			return nil, err
		}
	}
}

// openTimeout bounds how long those who ask for a shape wait until it can be read.
const openTimeout = 20 * time.Second

// open makes the shape and begins to follow it.
func (k *Keeper) open(ctx context.Context, key string, def *protocol.Definition) (*Shape, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	for {
		s, err := k.openOnce(ctx, key, def)
		if errors.Is(err, ErrOver) && ctx.Err() == nil {
			if err := pause(ctx, 100*time.Millisecond); err != nil {
				return nil, err
			}
			continue
		}
		return s, err
	}
}

func (k *Keeper) openOnce(ctx context.Context, key string, def *protocol.Definition) (*Shape, error) {
	sh, err := k.client.Create(ctx, def.Client())
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	s := k.byHandle[sh.Handle()]
	if s != nil && s.Err() == nil {
		k.nameLocked(key, s) // the same shape in other words
		k.mu.Unlock()
		return s, nil
	}
	full := len(k.byHandle) >= k.cfg.MaxShapes
	k.mu.Unlock()
	if full {
		if k.sweep(0); k.count() >= k.cfg.MaxShapes {
			return nil, ErrBusy
		}
	}
	rec, err := k.record(ctx, sh)
	if err != nil {
		return nil, err
	}
	if s, err = k.begin(ctx, sh, rec); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.admitLocked(key, s), nil
}

// admitLocked has a shape that was just begun be known by its handle, or lets go of it for the one that is known by then: who writes
// it in other words may have been faster.
func (k *Keeper) admitLocked(key string, s *Shape) *Shape {
	if other := k.byHandle[s.Handle()]; other != nil {
		if other.Err() == nil {
			s.cancel(errTwice)
			k.nameLocked(key, other)
			return other
		}
		k.dropLocked(other)
	}
	k.nameLocked(key, s)
	k.byHandle[s.Handle()] = s
	return s
}

// errTwice ends the second follower of a shape.
var errTwice = errors.New("the shape is followed already")

// maxWays bounds in how many ways of writing it a shape is known. Who writes it in yet another one asks the control plane, as
// at first.
const maxWays = 16

// nameLocked remembers that a shape was asked for by a definition. The oldest is forgotten if there are too many.
func (k *Keeper) nameLocked(key string, s *Shape) {
	if old := k.byDef[key]; old != nil {
		old.ways = slices.DeleteFunc(old.ways, func(way string) bool { return way == key })
	}
	if len(s.ways) >= maxWays {
		delete(k.byDef, s.ways[0])
		s.ways = slices.Delete(s.ways, 0, 1)
	}
	s.ways = append(s.ways, key)
	k.byDef[key] = s
}

// forgetLocked forgets all ways of writing a shape.
func (k *Keeper) forgetLocked(s *Shape) {
	for _, way := range s.ways {
		delete(k.byDef, way)
	}
	s.ways = nil
}

// begin waits until the shape's log has begun, and follows it.
func (k *Keeper) begin(ctx context.Context, sh *client.Shape, rec *registry.Shape) (*Shape, error) {
	encoder, schema, err := describe(rec)
	if err != nil {
		return nil, err
	}
	table, err := newTable(rec)
	if err != nil {
		return nil, err
	}
	s := &Shape{
		keeper: k, shape: sh, table: table, encoder: encoder, schema: schema, done: make(chan struct{}),
		stream: k.cfg.Source.ShapeStream(sh.Info().Partition), changed: make(chan struct{}), bodies: map[change.Offset]*Body{}, used: time.Now(),
	}
	wait := 5 * time.Millisecond
	for {
		if err = s.look(ctx); err == nil {
			break
		}
		switch {
		case errors.Is(err, ErrOver):
			return nil, ErrOver
		case ctx.Err() != nil:
			return nil, ErrCreating
		case !errors.Is(err, errNothing):
			return nil, err
		}
		if wait = min(wait*2, 250*time.Millisecond); wait >= 100*time.Millisecond {
			if err := k.creating(ctx, sh); err != nil {
				return nil, err
			}
		}
		if pause(ctx, wait) != nil {
			return nil, ErrCreating
		}
	}
	tail, err := k.completes(ctx, sh, s.stream, s.subject())
	if err != nil {
		return nil, err
	}
	s.tail, s.window = tail, window{from: tail}
	following, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	s.cancel = cancel
	go s.follow(following, tail)
	return s, nil
}

// creating reports why a shape does not come to be.
func (k *Keeper) creating(ctx context.Context, sh *client.Shape) error {
	info, err := sh.Refresh(ctx)
	switch {
	case errors.Is(err, client.ErrNotFound):
		return ErrOver
	case err != nil:
		return err
	case info.State == client.StateEnded || info.State == client.StateDeleting:
		return fmt.Errorf("%w: %s", ErrOver, info.Reason)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

func (k *Keeper) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.byHandle)
}

// Run lets go of shapes that nobody asks for, until ctx ends; then of all.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(max(k.cfg.Idle/4, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			k.mu.Lock()
			all := make([]*Shape, 0, len(k.byHandle))
			for _, s := range k.byHandle {
				all = append(all, s)
			}
			k.mu.Unlock()
			for _, s := range all {
				s.cancel(context.Cause(ctx))
				<-s.done
			}
			return
		case <-tick.C:
			k.sweep(k.cfg.Idle)
		}
	}
}

// sweep drops the shapes that nobody has used for so long, and those that have ended.
func (k *Keeper) sweep(idle time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.byHandle {
		s.mu.Lock()
		over := s.err != nil || s.users == 0 && time.Since(s.used) >= idle
		s.mu.Unlock()
		if over {
			k.dropLocked(s)
		}
	}
}

// dropLocked forgets a shape and stops following it.
func (k *Keeper) dropLocked(s *Shape) {
	s.cancel(errors.New("nobody asks for it any more"))
	if k.byHandle[s.Handle()] == s { // it may have a successor
		delete(k.byHandle, s.Handle())
	}
	k.forgetLocked(s)
}

// Figures are for metrics.
type Figures struct {
	Shapes     int
	CacheBytes int
}

// Figures returns what the keeper holds.
func (k *Keeper) Figures() Figures {
	return Figures{Shapes: k.count(), CacheBytes: k.cache.bytes()}
}

// Delete ends a shape for all its readers.
func (k *Keeper) Delete(ctx context.Context, handle string) error {
	if err := k.client.Delete(ctx, handle); err != nil {
		return err
	}
	k.mu.Lock()
	s := k.byHandle[handle]
	k.mu.Unlock()
	if s != nil {
		s.end(fmt.Errorf("%w: it was deleted", ErrOver))
	}
	return nil
}
