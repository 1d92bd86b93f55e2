package materializer

import (
	"sync"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/control"
)

// wants are the value sets that shapes depend on, kept from the records of
// shapes. Safe for concurrent use.
type wants struct {
	mu     sync.Mutex
	shapes map[string][]registry.Subquery // by shape, for those that have some
	wakers map[int]map[chan struct{}]struct{}
}

func newWants() *wants {
	return &wants{shapes: map[string][]registry.Subquery{}, wakers: map[int]map[chan struct{}]struct{}{}}
}

// Event takes the record of a shape, nil when it is gone.
func (w *wants) Event(id string, rec *registry.Shape) {
	var now []registry.Subquery
	if rec != nil && (rec.State == control.StateCreating || rec.State == control.StateLive) {
		now = rec.Subqueries
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.shapes[id]
	if len(before) == 0 && len(now) == 0 {
		return
	}
	if len(now) == 0 {
		delete(w.shapes, id)
	} else {
		w.shapes[id] = now
	}
	for _, list := range [][]registry.Subquery{before, now} {
		for _, q := range list {
			for c := range w.wakers[q.Partition] {
				select {
				case c <- struct{}{}:
				default:
				}
			}
		}
	}
}

// Of returns the value sets that are wanted of a partition, by name.
func (w *wants) Of(partition int) map[string]registry.Subquery {
	w.mu.Lock()
	defer w.mu.Unlock()
	sets := map[string]registry.Subquery{}
	for _, list := range w.shapes {
		for _, q := range list {
			if q.Partition == partition {
				sets[q.ValueSet()] = q
			}
		}
	}
	return sets
}

// Wake returns a channel that gets something when Of(partition) may have
// changed, until stop is called.
func (w *wants) Wake(partition int) (wake <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wakers[partition] == nil {
		w.wakers[partition] = map[chan struct{}]struct{}{}
	}
	w.wakers[partition][c] = struct{}{}
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.wakers[partition], c)
	}
}
