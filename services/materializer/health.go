package materializer

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/health"
)

// facts are what is noted for Health beside the figures. Safe for concurrent use.
type facts struct {
	mu     sync.Mutex
	watch  *health.Watch
	failed string         // why taking part in sharing the partitions ended; "" while it goes on
	parts  map[int]string // why a partition that is held is not followed
}

func (f *facts) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed, f.parts = "", nil
	if err != nil {
		f.failed = err.Error()
	}
}

// part notes why a partition is not followed; nil says that it is, or is not this process' any more.
func (f *facts) part(p int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		delete(f.parts, p)
		return
	}
	if f.parts == nil {
		f.parts = map[int]string{}
	}
	f.parts[p] = err.Error()
}

// Health is what the materializer knows of its own work now. It is cheap and may be called at any time.
func (m *Materializer) Health() health.Facts {
	f := health.Facts{Turned: m.stats.Loops.Turned(), Work: m.stats.Unread.Load() > 0, Moved: m.stats.Heard.Last()}
	select {
	case <-m.ready:
	default:
		f.Starting = "it has no part in the source yet, which the first start of a consumer sets up"
	}
	m.facts.mu.Lock()
	defer m.facts.mu.Unlock()
	f.Failed = m.facts.failed
	for _, p := range slices.Sorted(maps.Keys(m.facts.parts)) {
		f.Parts = append(f.Parts, fmt.Sprintf("partition %d is not followed: %s", p, m.facts.parts[p]))
	}
	if m.facts.watch != nil {
		m.facts.watch.Into(&f)
	}
	return f
}

// newWatch looks at what a materializer stands on.
func (m *Materializer) newWatch(js jetstream.JetStream) *health.Watch {
	src := m.cfg.Source
	w := health.NewWatch(js, "KV_"+src.ShapeBucket(), "KV_"+src.LeaseBucket(), "KV_"+src.MemberBucket())
	m.facts.mu.Lock()
	defer m.facts.mu.Unlock()
	m.facts.watch = w
	return w
}
