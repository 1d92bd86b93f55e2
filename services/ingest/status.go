package ingest

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/shapebus/shapebus/internal/health"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/change"
)

// State is what an Ingest is doing.
type State string

// The states of an Ingest.
const (
	StateStarting  State = "starting"    // connecting and checking
	StateStandby   State = "standby"     // another process has the slot
	StateStreaming State = "streaming"   // reading from the slot
	StateBackOff   State = "backing off" // waiting to try again after trouble
	StateStopped   State = "stopped"     // Run has returned
)

// Status is how far an Ingest is, for metrics and people. Counts are since New.
type Status struct {
	State State
	// Positions in the WAL: received from Postgres (up to the last commit or
	// keepalive), last published, stored in JetStream, confirmed to Postgres.
	Received, Published, Acked, Confirmed change.LSN
	Rows                                  uint64 // ops published
	Fragments                             uint64
	Messages                              uint64 // control entries included
	Bytes                                 uint64 // of message bodies
	Transactions                          uint64 // received with a commit, those left out included
	InFlight                              int    // messages without an answer
	Retries                               int64  // sessions that ended with trouble
	LastError                             string // of the last of them; "" while there was none
	// Waiting is what Postgres waits for before it sends more, as it says; "" if it does not.
	Waiting string
	// When something came from Postgres, was published, and was acknowledged by JetStream; zero if it never was. With nothing
	// to send Postgres says so every few seconds.
	Heard, PublishedAt, AckedAt time.Time
	// The slot, as Postgres said some seconds ago; "" for its WAL status, and -1, while that is not known. SlotSafe is how much
	// WAL may be written before the slot is in danger, -1 without a limit.
	SlotWAL                string
	SlotRetained, SlotSafe int64
}

// counters is the part of the status that the hot path updates.
type counters struct {
	service.Trouble

	loops                                  health.Loops
	publishedAt, ackedAt                   health.Clock
	moved                                  health.Clock // something was acknowledged, or published with nothing in flight
	received, published, acked, confirmed  atomic.Uint64
	rows, fragments, messages, bytes, txns atomic.Uint64
	inFlight                               atomic.Pointer[func() int]
	heard                                  atomic.Pointer[func() time.Time]

	mu      sync.Mutex
	state   State
	waiting string
}

// waits notes what Postgres waits for, "" for nothing, and reports whether that is news.
func (c *counters) waits(what string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	news := c.waiting != what
	c.waiting = what
	return news
}

// become sets the state and reports whether it is another one.
func (c *counters) become(s State) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.state
	c.state = s
	return was != s
}

func (c *counters) status() Status {
	s := Status{
		Received:     change.LSN(c.received.Load()),
		Published:    change.LSN(c.published.Load()),
		Acked:        change.LSN(c.acked.Load()),
		Confirmed:    change.LSN(c.confirmed.Load()),
		Rows:         c.rows.Load(),
		Fragments:    c.fragments.Load(),
		Messages:     c.messages.Load(),
		Bytes:        c.bytes.Load(),
		Transactions: c.txns.Load(),
		Retries:      c.Retries.Load(),
		LastError:    c.Last(),
		PublishedAt:  c.publishedAt.Last(),
		AckedAt:      c.ackedAt.Last(),
	}
	if f := c.inFlight.Load(); f != nil {
		s.InFlight = (*f)()
	}
	if f := c.heard.Load(); f != nil {
		s.Heard = (*f)()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.State, s.Waiting = c.state, c.waiting
	return s
}
