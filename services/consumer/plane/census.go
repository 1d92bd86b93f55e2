package plane

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/control"
)

// census is how many shapes there are and what they take, kept from the changes of their records. Safe for concurrent use.
type census struct {
	mu     sync.Mutex
	now    *count
	loaded chan struct{} // closed when now is the first whole count
}

// count is one look at all records.
type count struct {
	of         map[string]tally // by id
	states     map[control.State]int
	unreadable int
	bytes      int64 // of the clauses and parameters of shapes that have not ended
}

// tally is what counts of a record.
type tally struct {
	state control.State // "" if the record cannot be read
	bytes int64
}

func newCount() *count { return &count{of: map[string]tally{}, states: map[control.State]int{}} }

func newCensus() *census { return &census{loaded: make(chan struct{})} }

// keep counts until ctx ends.
func (c *census) keep(ctx context.Context, shapes *registry.Shapes, log *slog.Logger) {
	var pause service.Backoff
	for ctx.Err() == nil {
		next := newCount() // what was removed while nobody watched is not told
		err := shapes.Watch(ctx, func(e registry.Event) {
			c.mu.Lock()
			defer c.mu.Unlock()
			next.take(e)
		}, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.now == nil {
				close(c.loaded)
			}
			c.now = next
			pause = service.Backoff{}
		})
		if ctx.Err() != nil {
			return
		}
		log.DebugContext(ctx, "counting shapes begins again", slog.Any("error", err))
		pause.Wait(ctx)
	}
}

func (n *count) take(e registry.Event) {
	if was, ok := n.of[e.ID]; ok {
		n.add(was, -1)
		delete(n.of, e.ID)
	}
	if e.Shape == nil && e.Err == nil {
		return
	}
	now := tally{}
	if e.Shape != nil {
		now = tallyOf(e.Shape)
	}
	n.of[e.ID] = now
	n.add(now, 1)
}

func (n *count) add(t tally, by int) {
	if t.state == "" {
		n.unreadable += by
		return
	}
	if n.states[t.state] += by; n.states[t.state] == 0 {
		delete(n.states, t.state)
	}
	n.bytes += int64(by) * t.bytes
}

func tallyOf(s *registry.Shape) tally {
	t := tally{state: s.State}
	if s.State == control.StateEnded {
		return t
	}
	t.bytes = int64(len(s.Definition.Where))
	for _, p := range s.Definition.Params {
		if p != nil {
			t.bytes += int64(len(*p))
		}
	}
	return t
}

// await waits for the first count.
func (c *census) await(ctx context.Context) error {
	select {
	case <-c.loaded:
		return nil
	case <-ctx.Done():
		return errors.Join(errors.New("the shapes of the source have not been counted yet; try again"), context.Cause(ctx))
	}
}

// states are how many shapes are in each state, and how many records cannot be read.
func (c *census) states() (of map[control.State]int, unreadable int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.now.states), c.now.unreadable
}

// alive is how many shapes have not ended, and the size of their clauses and parameters.
func (c *census) alive() (shapes int, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for state, n := range c.now.states {
		if state != control.StateEnded {
			shapes += n
		}
	}
	return shapes, c.now.bytes
}
