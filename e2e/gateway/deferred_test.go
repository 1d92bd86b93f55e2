package gateway

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/failpoint"
)

// unitGate holds the consumer where it has the snapshot of a unit, once somebody has shut it.
type unitGate struct{ shut atomic.Pointer[chan struct{}] }

// pass is a failpoint.
func (g *unitGate) pass(p failpoint.Point) {
	if p != failpoint.UnitOpen {
		return
	}
	if held := g.shut.Swap(nil); held != nil {
		*held <- struct{}{} // somebody stands before the gate
		<-*held
	}
}

// What a unit defers may change nothing in the shape when it comes, and then no marker says that it has come. Who follows
// the shape sees the unit all the same, and so does who comes later, to this gateway or to another.
func TestWhatWasDeferredAndChangesNothingHoldsNobodyUp(t *testing.T) {
	s := stack.New(t, teams)
	var gate unitGate
	s.Consumer.Failpoint = gate.pass
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	s.Gateway.LongPoll, s.Gateway.Stream = 2*time.Second, 3*time.Second
	base, _ := s.StartGateway()
	def := values("table", "members", "where", "team IN (SELECT id FROM teams WHERE open)")
	readers := map[string]*running{}
	begin := func(base, when string) {
		for _, sse := range []bool{false, true} {
			r := newReader(base, def, sse)
			r.check = whole
			name := fmt.Sprintf("%s, SSE %v", when, sse)
			readers[name] = run(t, name, r)
		}
	}
	exact := func(step string) {
		t.Helper()
		want := selectIDs(t, s, "SELECT id || '=' || v FROM members WHERE team IN (SELECT id FROM teams WHERE open)")
		for name, r := range readers {
			var got []string
			s.Until(step+": the reader "+name+" is exact", func() (bool, error) {
				r.mu.Lock()
				defer r.mu.Unlock()
				got = texts(r.rows)
				return cmp.Equal(got, want), r.err
			}, func() string { return fmt.Sprintf("%d rows, want %d", len(got), len(want)) })
		}
	}
	begin(base, "from the start")
	exact("at first")

	held := make(chan struct{})
	gate.shut.Store(&held)
	s.Exec("UPDATE teams SET open = NOT open WHERE id IN (1, 2)")
	select {
	case <-held:
	case <-time.After(patience):
		t.Fatal("no unit came")
	}
	s.Exec("INSERT INTO members VALUES (9001, 9001, 'of no team')") // the unit's snapshot does not see it
	held <- struct{}{}
	exact("the unit has come")
	begin(base, "behind the unit")
	exact("to the same gateway")
	s.Gateway.Listener = nil
	another, _ := s.StartGateway()
	begin(another, "from another gateway")
	exact("to another gateway")

	s.Exec("UPDATE members SET v = 'last'")
	exact("the shape goes on")
}
