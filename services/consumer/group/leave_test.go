package group

import (
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/valueset"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
	"github.com/shapebus/shapebus/services/consumer/valuesets"
)

const innerHandle = "0123456789abcdef-1"

// crowdAbove is above a main loop with groups and nothing else.
type crowdAbove struct {
	live.Above

	groups *Groups
}

func (a crowdAbove) Floors() iter.Seq[changelog.Place] { return a.groups.Floors() }

// outerCrowd is a main loop that has n shapes with a subquery, all on one inner shape.
func outerCrowd(tb testing.TB, n int) *Groups {
	tb.Helper()
	l := live.NewLoop(&live.Config{}, &live.Stats{}, slog.New(slog.DiscardHandler))
	l.Sets = valuesets.NewSets(valuesets.Config{})
	s := NewGroups(l, nil)
	l.Above = crowdAbove{groups: s}
	q := registry.Subquery{ID: "inner", Handle: innerHandle, Columns: []int{0}}
	set, _ := s.Sets.Add(q, nil)
	base := &valueset.Set{}
	s.Sets.Begin(set, base, change.Offset{}, valuesets.Chain{})
	s.Selections.Of(set.Name()).Main = valueset.NewView(base)
	users := crowdTable()
	users.Relation.OID, users.Relation.Name = 8, "users"
	logs := shapelog.NewPartition(&shapelog.Config{Builders: shapelog.NewBuilders()}, 0)
	for i := range n {
		rec := crowdRecord(fmt.Sprint("h", i), fmt.Sprintf("title = 't%d' AND owner IN (SELECT id FROM users)", i), "id", "owner", "title")
		rec.Subqueries, rec.InnerTables = []registry.Subquery{q}, []*pg.TableInfo{users}
		f, err := follow.NewFollower(rec, logs.NewLog(rec.Handle, nil, wire.Tail{}), s.Sets.Note)
		if err != nil {
			tb.Fatal(err)
		}
		s.AddLive(f)
	}
	return s
}

// leaveAndReturn is one change of the inner shape: all shapes that depend on it leave the main
// loop, in a group that looks up their sets, and return. It tells how long the main loop was busy.
func leaveAndReturn(tb testing.TB, s *Groups, n int) (busy time.Duration) {
	tb.Helper()
	began := cpuUsed()
	groups := s.gather(s.Downstream([]string{innerHandle}))
	busy = cpuUsed() - began
	if len(groups) != 1 || len(groups[0].stages[0].members) != n || len(s.Live) != 0 {
		tb.Fatalf("%d groups, %d shapes left with the main loop", len(groups), len(s.Live))
	}
	g := groups[0]
	st := g.stages[0]
	set := s.Selections.Of(st.sets.All[0].Name())
	if set.Main != nil || set.Selectors != 0 {
		tb.Fatal("the main loop keeps a set up to date by which no live shape selects")
	}
	st.fill()
	st.Views = append(st.Views, valueset.NewView(&valueset.Set{}))
	st.cursor = changelog.NewCursor(nil, nil)
	st.show()

	began = cpuUsed()
	s.Floor()
	set.Arrive(st.Views[0], st.sets.Touched[0])
	g.handOver()
	busy += cpuUsed() - began
	if len(s.Live) != n || len(s.All) != 0 || s.Stats.Parked.Load() != 0 {
		tb.Fatalf("%d shapes are back, %d groups are left", len(s.Live), len(s.All))
	}
	return busy
}

// TestLeavingTheMainLoopTakesTimeByTheShape: what the main loop does when many shapes leave it
// with one commit, and come back, must follow their number and not its square, since all shapes
// stand still meanwhile.
func TestLeavingTheMainLoopTakesTimeByTheShape(t *testing.T) {
	took := func(n int) (best time.Duration) {
		s := outerCrowd(t, n)
		for i := range 4 {
			runtime.GC()
			if busy := leaveAndReturn(t, s, n); i == 0 || busy < best {
				best = busy
			}
		}
		return best
	}
	// Both crowds are too large for the processor's cache, or the larger one would take more by that.
	const crowd, times = 2500, 4
	few, many := took(crowd), took(times*crowd)
	t.Logf("the main loop is busy for %v with %d shapes, for %v with %d", few, crowd, many, times*crowd)
	const most = 3 * times // the square is 16
	if ratio := float64(many) / float64(max(few, time.Millisecond)); ratio > most {
		t.Errorf("%d times as many shapes take %.1f times as long: %v and %v", times, ratio, few, many)
	}
}

// TestWhoLeavesWithAnInnerShape: the shapes at every depth below it, each once, and a set goes on
// being kept up to date while one live shape selects by it.
func TestWhoLeavesWithAnInnerShape(t *testing.T) {
	s := outerCrowd(t, 3)
	if got := len(s.Downstream([]string{innerHandle, innerHandle, "another"})); got != 3 {
		t.Errorf("%d shapes leave, want 3", got)
	}
	name := registry.Subquery{Handle: innerHandle, Columns: []int{0}}.ValueSet()
	for i := range 3 {
		if s.Selections.View(name) == nil {
			t.Fatalf("the set is gone with %d shapes left", 3-i)
		}
		f := s.Live[fmt.Sprint("h", i)]
		if !s.RemoveLive(f) || s.RemoveLive(f) {
			t.Error("a shape leaves once")
		}
	}
	if s.Selections.View(name) != nil {
		t.Error("the set is kept up to date for nobody")
	}
}

func BenchmarkLeaveTheMainLoop(b *testing.B) {
	for _, n := range []int{1000, 3000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := outerCrowd(b, n)
			var busy time.Duration
			for b.Loop() {
				busy += leaveAndReturn(b, s, n)
			}
			b.ReportMetric(float64(busy.Milliseconds())/float64(b.N), "busy-ms")
		})
	}
}
