package live

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shapebus/shapebus/internal/health"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/services/consumer/follow"
)

// Stats are counters for metrics; safe for concurrent use.
type Stats struct {
	service.Trouble

	Loops     health.Loops // the main loop, while it runs
	Heard     health.Clock // the main loop has read a message
	Sessions  atomic.Int64 // main loops that have begun
	Wrote     health.Clock // something was appended to a shape log
	Stored    health.Clock // a shape log's message was acknowledged
	Committed atomic.Int64 // when the transaction committed that was read last, in microseconds since 1970

	Owned    atomic.Int64 // partitions held
	Moves    atomic.Int64 // partitions taken and handed over
	Messages atomic.Int64 // change log messages read by the main loop
	Ops      atomic.Int64 // ops routed
	Appended atomic.Int64 // shape log messages appended
	Bytes    atomic.Int64 // of them
	Applied  atomic.Uint64
	Unread   atomic.Uint64
	Live     atomic.Int64

	Unindexed ByTable // live shapes that no index finds

	Parked   atomic.Int64
	Units    atomic.Int64 // opened
	Aborts   atomic.Int64 // logs whose open end was aborted
	Reread   atomic.Int64 // rows read because their membership changed
	Values   atomic.Int64 // in value sets
	Drops    atomic.Int64 // partitions lost
	Poison   atomic.Int64 // stored messages that cannot be understood
	Folding  atomic.Int64 // logs being folded
	Folds    atomic.Int64 // logs folded
	FoldFail atomic.Int64 // attempts to fold a log that failed
	FoldRows atomic.Int64 // rows read for folds
	Costly   Costly       // shapes of which a change would have cost too much

	CPU    Heaviest // nanoseconds that judging changes took, by shape
	Growth Heaviest // bytes appended to logs and segments, by shape; see Grown
	grown  atomic.Int64
}

// meterClock is what meters measure from.
var meterClock = time.Now()

// NewMeter makes a meter for a router.
func (s *Stats) NewMeter() *follow.Meter {
	return &follow.Meter{
		Clock: func() int64 { return int64(time.Since(meterClock)) },
		Spent: func(handle string, ns float64) { s.CPU.Add(handle, ns, time.Now()) },
	}
}

// growthEach is how many bytes of all that is appended one stands for that is counted. Counting each append would cost small
// transactions a tenth more time. It is prime, so that shapes that are written in turn are all met.
const growthEach = 1021

// Grown notes that a shape's log, or a segment of it, has grown. It may be called by many at once.
func (s *Stats) Grown(handle string, bytes int) {
	after := s.grown.Add(int64(bytes))
	if n := after/growthEach - (after-int64(bytes))/growthEach; n > 0 {
		s.Growth.Add(handle, float64(n*growthEach), time.Now())
	}
}

// ByTable is a figure of each table; safe for concurrent use.
type ByTable struct {
	mu sync.Mutex
	of map[uint32]figure // by oid; those that are not 0
}

type figure struct {
	table string
	n     int64
}

// Set notes the figure of a table and what the table is called.
func (b *ByTable) Set(oid uint32, table string, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n == 0 {
		delete(b.of, oid)
		return
	}
	if b.of == nil {
		b.of = map[uint32]figure{}
	}
	b.of[oid] = figure{table, n}
}

// Clear forgets all figures.
func (b *ByTable) Clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.of)
}

// Load returns the figures by the names of the tables.
func (b *ByTable) Load() map[string]int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make(map[string]int64, len(b.of))
	for _, f := range b.of {
		all[f.table] += f.n // an oid may have been given to another table
	}
	return all
}

// costlyKept is how many handles are remembered.
const costlyKept = 16

// Costly are the shapes that have ended because a change would have cost too much. Safe for concurrent use.
type Costly struct {
	mu    sync.Mutex
	count int64
	last  []string
}

// Add adds one, by its handle.
func (c *Costly) Add(handle string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	if len(c.last) == costlyKept {
		c.last = slices.Delete(c.last, 0, 1)
	}
	c.last = append(c.last, handle)
}

// Get is how many there were, and the handles of the last of them.
func (c *Costly) Get() (count int64, last []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count, slices.Clone(c.last)
}
