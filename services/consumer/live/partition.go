package live

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// Partition is one of the source's partitions. While this process holds it and its stream can be
// written it has a writer. When that fails, the session goes on without the partition until there is
// another; see drop.go. A shape's follower belongs to the writer with which the place of its log was
// read: with another one it would write at a place that it does not know.
type Partition struct {
	*shapelog.Partition

	Writer atomic.Pointer[shapelog.Writer] // nil while the stream cannot be written

	// The main loop's.
	Phase Phase
	Turn  int             // counts how often the session has gained the partition
	Why   error           // it is down
	Since time.Time       // when the phase began
	Pause service.Backoff // before the next attempt to come back
	// Floor is that of the last checkpoint stored. While the partition is not up,
	// its shapes may have to go on from there.
	Floor  atomic.Pointer[changelog.Place]
	Missed map[string]registry.Event // changes of records that nobody acts on while it comes back, by id
}

// Phase is how far a partition is in the session.
type Phase uint8

// The phases.
const (
	Elsewhere Phase = iota // another process holds it, or nobody
	Down                   // it cannot be written: its shapes wait where they are
	Catching               // its plain shapes are on their way to the main loop
	Up                     // its checkpoint speaks of all its shapes
)

// Mine reports whether this process holds the partition.
func (p *Partition) Mine() bool { return p.Phase != Elsewhere }

// FloorIn is the floor that a checkpoint tells.
func FloorIn(c wire.Checkpoint) *changelog.Place {
	return &changelog.Place{LSN: change.LSN(c.FloorLSN), Seq: c.FloorSeq}
}

// save appends a checkpoint, and keeps its floor once it is stored.
func (p *Partition) save(ctx context.Context, c wire.Checkpoint, stored func(uint64)) error {
	return p.Checkpoint(ctx, p.Writer.Load(), c, func(seq uint64) {
		p.Floor.Store(FloorIn(c))
		if stored != nil {
			stored(seq)
		}
	})
}
