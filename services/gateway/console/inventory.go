package console

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/control"
)

// inventory is all shapes at a moment, as far as they are listed, with how fast their logs grow. It
// does not change.
type inventory struct {
	at     time.Time
	shapes []item
	byID   map[string]*item
	more   bool // there are more than are listed
}

// item is a shape in the inventory: what lists show of it and search in. The rest of a definition,
// which may be large, is not kept.
type item struct {
	control.Shape

	key             []string // columns of the primary key
	columns, params int
	perSecond       float64 // bytes that its log grows by
	cpu             float64 // cores that judging changes for it takes; 0 if that is little
}

// keptText is what is kept of a clause and of a reason, in bytes.
const keptText = 4 << 10

func itemOf(s *control.Shape) item {
	out := item{Shape: *s, columns: len(s.Columns), params: len(s.Params)}
	for _, c := range s.Columns {
		if s.HasKey && c.Key {
			out.key = append(out.key, c.Name)
		}
	}
	out.Columns, out.Params, out.Subqueries = nil, nil, nil
	out.Where, out.Reason = beginning(s.Where, keptText), beginning(s.Reason, keptText)
	return out
}

// beginning is a text of at most so many bytes, which keeps nothing of a longer one.
func beginning(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(strings.Clone(text[:limit]), "") + " …"
}

// listedClause is how much text of a clause is shown in a list, in bytes.
const listedClause = 400

// Listed is a shape as lists show it.
type Listed struct {
	ID        string        `json:"id"`
	Handle    string        `json:"handle"`
	Partition int           `json:"partition"`
	Table     string        `json:"table"`
	Where     string        `json:"where"`
	Params    int           `json:"params"`
	State     control.State `json:"state"`
	Reason    string        `json:"reason,omitempty"`
	Inner     bool          `json:"inner,omitempty"`
	Columns   int           `json:"columns"`
	Key       []string      `json:"key,omitempty"`
	Rows      int64         `json:"rows"`
	LogBytes  int64         `json:"log_bytes"`
	Since     int64         `json:"since_bytes"`
	Lag       int64         `json:"lag_bytes"`
	PerSecond float64       `json:"per_second"`
	CPU       float64       `json:"cpu"`
	Folding   bool          `json:"folding,omitempty"`
	FoldError string        `json:"fold_error,omitempty"`
	Created   time.Time     `json:"created"`
	Read      int64         `json:"snapshot_rows"`
}

func (i *item) listed() Listed {
	out := Listed{
		ID: i.ID, Handle: i.Handle, Partition: i.Partition, Table: tableOf(&i.Shape), Where: beginning(i.Where, listedClause), Params: i.params, State: i.State, Reason: i.Reason,
		Inner: i.Inner, Columns: i.columns, Key: i.key, Rows: i.Rows, LogBytes: i.LogBytes, Since: i.SinceBytes, Lag: i.LagBytes, PerSecond: i.perSecond, CPU: i.cpu,
		Created: i.Created, Read: i.SnapshotRows,
	}
	if i.Fold != nil {
		out.Folding, out.FoldError = i.Fold.Began != nil, i.Fold.Error
	}
	return out
}

// tableOf is a table's name as SQL writes it: pages send it back.
func tableOf(s *control.Shape) string {
	if s.Schema == "public" {
		return pg.Name(s.Table)
	}
	return pg.Name(s.Schema) + "." + pg.Name(s.Table)
}

// newInventory takes the growth of logs from what there was before, which may be nil, and cores by handle.
func newInventory(at time.Time, shapes []item, more bool, before *inventory, cpu map[string]float64) *inventory {
	out := &inventory{at: at, shapes: shapes, byID: make(map[string]*item, len(shapes)), more: more}
	for i := range shapes {
		it := &shapes[i]
		out.byID[it.ID] = it
		it.cpu = cpu[it.Handle]
		if before == nil {
			continue
		}
		if was := before.byID[it.ID]; was != nil && was.Handle == it.Handle {
			it.perSecond = smooth(was.perSecond, float64(it.LogBytes-was.LogBytes), at.Sub(before.at))
		}
	}
	return out
}

// smooth is a rate that follows what was added in a time without jumping. Half of it is of the last
// three seconds.
func smooth(rate, added float64, in time.Duration) float64 {
	const half = 3 * time.Second
	if in <= 0 {
		return rate
	}
	keep := 1 / (1 + float64(in)/float64(half))
	rate = keep*rate + (1-keep)*max(added, 0)/in.Seconds()
	if rate < 0.05 {
		return 0
	}
	return rate
}

// question is what is looked for among the shapes.
type question struct {
	text  string
	state control.State // "" for all
	sort  string        // table, rows, log, lag, rate, cpu or created
	inner bool          // also those that exist for others only
}

// Found is an answer to a question.
type Found struct {
	At     time.Time `json:"at"`
	Shapes []Listed  `json:"shapes"`
	// Total is how many there are, of which at most maxFound are in Shapes; Of is how many are
	// listed at all.
	Total int  `json:"total"`
	Of    int  `json:"of"`
	More  bool `json:"more,omitempty"` // there are shapes that are not listed at all
	// Counts are by state, of what the text matches. Inner are those that exist for others only.
	Counts map[control.State]int `json:"counts"`
	Inner  int                   `json:"inner"`
}

const (
	maxFound = 200
	maxText  = 200 // bytes of what is looked for
)

// find answers a question.
func (v *inventory) find(q question) Found {
	out := Found{Shapes: []Listed{}, Counts: map[control.State]int{}}
	if v == nil {
		return out
	}
	out.At, out.Of, out.More = v.at, len(v.shapes), v.more
	words := strings.Fields(strings.ToLower(q.text[:min(len(q.text), maxText)]))
	var found []*item
	for i := range v.shapes {
		it := &v.shapes[i]
		if !it.matches(words) {
			continue
		}
		if it.Inner {
			if out.Inner++; !q.inner {
				continue
			}
		}
		out.Counts[it.State]++
		if q.state == "" || it.State == q.state {
			found = append(found, it)
		}
	}
	out.Total = len(found)
	slices.SortStableFunc(found, order(q.sort))
	for _, it := range found[:min(len(found), maxFound)] {
		out.Shapes = append(out.Shapes, it.listed())
	}
	return out
}

// matches reports whether each word stands somewhere in what names the shape.
func (i *item) matches(words []string) bool {
	if len(words) == 0 {
		return true
	}
	text := strings.ToLower(strings.Join([]string{i.Handle, i.Schema, i.Table, i.Where, i.Reason}, "\n"))
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}

// order sorts what is most of interest first, and what is equal by name, so that lists stand still.
func order(by string) func(a, b *item) int {
	name := func(a, b *item) int {
		return cmp.Or(strings.Compare(a.Schema, b.Schema), strings.Compare(a.Table, b.Table), strings.Compare(a.Where, b.Where), strings.Compare(a.ID, b.ID))
	}
	var first func(a, b *item) int
	switch by {
	case "rows":
		first = func(a, b *item) int { return cmp.Compare(b.Rows, a.Rows) }
	case "log":
		first = func(a, b *item) int { return cmp.Compare(b.LogBytes, a.LogBytes) }
	case "lag":
		first = func(a, b *item) int { return cmp.Compare(b.LagBytes, a.LagBytes) }
	case "rate":
		first = func(a, b *item) int { return cmp.Compare(b.perSecond, a.perSecond) }
	case "cpu":
		first = func(a, b *item) int { return cmp.Compare(b.cpu, a.cpu) }
	case "created":
		first = func(a, b *item) int { return b.Created.Compare(a.Created) }
	default:
		return name
	}
	return func(a, b *item) int { return cmp.Or(first(a, b), name(a, b)) }
}

// Cost is what a shape costs at present.
type Cost struct {
	PerSecond float64 `json:"per_second"` // bytes that its log grows by
	CPU       float64 `json:"cpu"`        // cores that judging changes for it takes; 0 if that is little
}

// cost is what is known of one life of a shape.
func (v *inventory) cost(s *control.Shape) Cost {
	if v == nil {
		return Cost{}
	}
	it := v.byID[s.ID]
	if it == nil || it.Handle != s.Handle {
		return Cost{}
	}
	return Cost{it.perSecond, it.cpu}
}

// busiest are the shapes whose logs grow, the fastest first.
func (v *inventory) busiest(n int) []Listed {
	out := []Listed{}
	if v == nil {
		return out
	}
	var growing []*item
	for i := range v.shapes {
		if v.shapes[i].perSecond > 0 {
			growing = append(growing, &v.shapes[i])
		}
	}
	slices.SortStableFunc(growing, order("rate"))
	for _, it := range growing[:min(n, len(growing))] {
		out = append(out, it.listed())
	}
	return out
}
