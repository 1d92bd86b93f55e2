package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/topology"
)

// Partitions is how many partitions a source has, as far as a process knows. It never falls. Safe for concurrent use.
type Partitions struct {
	mu      sync.Mutex
	n       int
	changed chan struct{} // closed and replaced when n rises
}

// NewPartitions begins with a number.
func NewPartitions(n int) *Partitions { return &Partitions{n: n, changed: make(chan struct{})} }

// Now returns the number, and what is closed when it rises.
func (p *Partitions) Now() (n int, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n, p.changed
}

// Count returns the number; 0 for a nil p.
func (p *Partitions) Count() int {
	if p == nil {
		return 0
	}
	n, _ := p.Now()
	return n
}

// Raise notes that there are n at least.
func (p *Partitions) Raise(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n <= p.n {
		return
	}
	p.n = n
	close(p.changed)
	p.changed = make(chan struct{})
}

// KeepPartitions raises p with the source's record until ctx ends; then it returns nil.
func (r *Shapes) KeepPartitions(ctx context.Context, p *Partitions) error {
	err := watch(ctx, r.kv, topology.SourceKey, 0, func(e jetstream.KeyValueEntry) {
		var s Source
		if e != nil && e.Operation() == jetstream.KeyValuePut && json.Unmarshal(e.Value(), &s) == nil && s.Partitions <= topology.MaxPartitions {
			p.Raise(s.Partitions)
		}
	})
	if err != nil {
		return fmt.Errorf("watch the source's record: %w", err)
	}
	return nil
}
