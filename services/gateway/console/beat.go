package console

import (
	"net/http"
	"time"

	"github.com/shapebus/shapebus/pkg/control"
)

// Pulse is a beat as the pages get it.
type Pulse struct {
	At     time.Time       `json:"at"`
	Fault  string          `json:"fault,omitempty"` // why what follows is old
	Since  time.Time       `json:"since,omitzero"`  // of the fault
	Status *control.Status `json:"status,omitempty"`

	WAL      float64 `json:"wal"`      // bytes a second, of the change log's place in the WAL
	Messages float64 `json:"messages"` // a second, into the change log
	Applied  float64 `json:"applied"`  // bytes a second, of the place that all shapes have
	Logs     float64 `json:"logs"`     // bytes a second, into logs of shapes

	Partitions []PartitionLoad `json:"partitions"`
	Busiest    []Listed        `json:"busiest"`
	Rows       int64           `json:"rows"` // of all shapes that are listed
	LogBytes   int64           `json:"log_bytes"`
	Tables     []string        `json:"tables"` // that shapes are on, with the columns of their keys
	Keys       [][]string      `json:"keys"`
	Last       uint64          `json:"last"`              // number of the newest event
	History    []Point         `json:"history,omitempty"` // in the first message all there is, later the newest
}

// PartitionLoad is what a partition has to do.
type PartitionLoad struct {
	Shapes    int     `json:"shapes"`
	PerSecond float64 `json:"per_second"`
}

// maxTables bounds the tables that pages suggest.
const maxTables = 300

// told is the pulse now; nil before the first beat. whole asks for the whole history.
func (p *pulse) told(whole bool) *Pulse {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.now
	if b == nil {
		return nil
	}
	out := &Pulse{
		At: b.at, Fault: b.fault, Status: b.status, WAL: b.wal, Messages: b.messages, Applied: b.applied, Logs: b.logs,
		Partitions: []PartitionLoad{}, Busiest: p.list.busiest(busiestShown), Tables: []string{}, Keys: [][]string{}, Last: p.seq, History: p.history,
	}
	if b.fault != "" {
		out.Since = b.since
	}
	if n := len(p.history); !whole && n > 1 {
		out.History = p.history[n-1:]
	}
	out.History = append([]Point(nil), out.History...)
	if b.status != nil {
		out.Partitions = make([]PartitionLoad, b.status.Partitions)
	}
	if p.list == nil {
		return out
	}
	seen := map[string]bool{}
	for i := range p.list.shapes {
		s := &p.list.shapes[i]
		if s.State == control.StateEnded {
			continue
		}
		if s.Partition >= 0 && s.Partition < len(out.Partitions) {
			out.Partitions[s.Partition].Shapes++
			out.Partitions[s.Partition].PerSecond += s.perSecond
		}
		out.Rows += max(s.Rows, 0)
		out.LogBytes += s.LogBytes
		if table := tableOf(&s.Shape); !seen[table] && len(out.Tables) < maxTables {
			seen[table] = true
			out.Tables, out.Keys = append(out.Tables, table), append(out.Keys, s.key)
		}
	}
	return out
}

// tellPulse sends each beat as a server-sent event.
func (c *Console) tellPulse(w http.ResponseWriter, r *http.Request) {
	s, ok := c.open(w, r)
	if !ok {
		return
	}
	defer s.close()
	told, stop := c.pulse.watch()
	defer stop()
	whole := true
	for {
		if p := c.pulse.told(whole); p != nil {
			if whole = false; !s.send("pulse", p) {
				return
			}
		}
		if !s.wait(told) {
			return
		}
	}
}
