package group

import (
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// overWriter writes to a partition that is lost.
func overWriter(t *testing.T) *shapelog.Writer {
	t.Helper()
	_, js := natstest.Conn(t)
	const source = topology.Source("other")
	if err := source.EnsureShapeLogs(t.Context(), js, 1, topology.ShapeLogConfig{}); err != nil {
		t.Fatal(err)
	}
	w, err := shapelog.NewPartition(&shapelog.Config{NATS: js.Conn(), JS: js, Source: source, WindowBytes: 1 << 20, Failpoint: failpoint.Never}, 0).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	return w
}

// TestWhoSelectsFromAShapeThatEndsDoesNotMoveOn: an inner shape of a chain ends while another group has asked for the chain. Who selects from it
// ends with it, and is not given to the other group, where it would wait for ever.
func TestWhoSelectsFromAShapeThatEndsDoesNotMoveOn(t *testing.T) {
	here := changelog.Place{LSN: 100, Seq: 10}
	g := apart(t, here, here)
	s := g.s
	w := overWriter(t) // so that nothing is cleared away, which this is not about
	s.Tasks = &errgroup.Group{}
	s.Parts = []*live.Partition{{Partition: shapelog.NewPartition(&shapelog.Config{Builders: shapelog.NewBuilders(), Source: "apart", Failpoint: failpoint.Never}, 0)}}
	s.Parts[0].Writer.Store(w)
	a, b := g.member("h0"), g.member("h1")
	a.Writer, b.Writer = w, w
	a.Appended.Ended, b.Appended.Ended = true, true // their last words have been appended
	s.Finished = map[string]bool{}
	s.DependsOn[a.Handle] = map[string]bool{b.ID: true} // b selects from a
	to := s.newGroup()
	g.into = to // another group of the chain has asked for all
	if err := g.End(t.Context(), a.ID, "the table changed", false); err != nil {
		t.Fatal(err)
	}
	left, err := g.endSome(t.Context())
	if left || err != nil {
		t.Errorf("left %t, %v", left, err)
	}
	_ = s.Tasks.Wait() // they come to the closed writer and no further
	if owner := s.OwnerOf(b.ID); owner != nil || len(to.coming) > 0 {
		t.Errorf("%s goes on with %v, %d stages come", b.ID, owner, len(to.coming))
	}
}

// TestWhoLostItsPartitionIsNotTakenHoldOfAgain: a shape begins together with another one of its chain, whose partition is lost and comes
// back before the two have parted. Who took it over there goes on to hold it.
func TestWhoLostItsPartitionIsNotTakenHoldOfAgain(t *testing.T) {
	here := changelog.Place{LSN: 100, Seq: 10}
	g := apart(t, here, here)
	s := g.s
	over, stays := g.stages[0], g.stages[1]
	w := overWriter(t)
	successor := s.newGroup()
	for id, f := range over.members {
		f.Writer = w
		s.LetGo(id, g)
		s.Hold(id, successor)
	}
	to := s.newGroup()
	over.goTo(to)
	stays.goTo(to)
	for id := range over.members {
		if owner := s.OwnerOf(id); owner != successor {
			t.Errorf("%s, which another one took over, is with %v", id, owner)
		}
	}
	for id := range stays.members {
		if owner := s.OwnerOf(id); owner != to {
			t.Errorf("%s is with %v", id, owner)
		}
	}
}
