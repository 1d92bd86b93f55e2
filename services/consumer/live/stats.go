package live

import (
	"sync/atomic"

	"github.com/shapebus/shapebus/internal/service"
)

// Stats are counters for metrics; safe for concurrent use.
type Stats struct {
	service.Trouble

	Owner    atomic.Bool
	Messages atomic.Int64 // change log messages read by the main loop
	Ops      atomic.Int64 // ops routed
	Appended atomic.Int64 // shape log messages appended
	Bytes    atomic.Int64 // of them
	Applied  atomic.Uint64
	Unread   atomic.Uint64
	Live     atomic.Int64
	Parked   atomic.Int64
	Units    atomic.Int64 // opened
	Voids    atomic.Int64 // logs whose open end was made void
	Restated atomic.Int64 // rows read because their membership changed
	Values   atomic.Int64 // in value sets
	Drops    atomic.Int64 // partitions lost
	Poison   atomic.Int64 // stored messages that cannot be understood
	Costly   Costly       // shapes of which a change would have cost too much
}
