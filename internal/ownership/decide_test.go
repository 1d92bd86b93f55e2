package ownership

import (
	"slices"
	"testing"
	"time"

	"github.com/shapebus/shapebus/internal/registry"
)

// TestWhoComesAgainAndAgainHoldsUpNobody: partitions move when those who come have all come, and after a while in any case.
func TestWhoComesAgainAndAgainHoldsUpNobody(t *testing.T) {
	me, other := registry.NewMember("me"), registry.NewMember("other")
	began := time.Now()
	s := state{me: me, partitions: 2, leases: map[int]registry.Holding{0: {Holder: me, Revision: 1}, 1: {Holder: me, Revision: 2}}}
	if d := s.decide(began); len(d.take)+len(d.give) > 0 || d.wait != 0 {
		t.Errorf("before anything is known: %+v", d)
	}
	s.loaded = true
	s.see([]registry.Member{me}, began)
	if d := s.decide(began); len(d.take)+len(d.give) > 0 || d.wait != 0 {
		t.Errorf("alone, with everything: %+v", d)
	}
	s.see([]registry.Member{me, other}, began)
	if d := s.decide(began); len(d.give) > 0 || d.wait != debounce {
		t.Errorf("when one has just come: %+v, want a wait of %s", d, debounce)
	}
	if d := s.decide(began.Add(debounce)); len(d.give) != 1 || d.to[d.give[0]] != "other" {
		t.Errorf("when it has been there for a while: %+v, want one partition for it", d)
	}

	t.Log("a crash loop beside partitions that are free")
	s.partitions = 6
	s.see([]registry.Member{me}, began.Add(time.Second))
	at := began.Add(2 * time.Second)
	waited := time.Duration(0)
	for ; ; waited += debounce / 2 {
		loops := registry.NewMember("loops")
		s.see([]registry.Member{loops, me}, at.Add(waited))
		if d := s.decide(at.Add(waited)); len(d.take)+len(d.give) > 0 {
			break
		} else if d.wait <= 0 || d.wait > debounce {
			t.Fatalf("it waits for %s", d.wait)
		}
		s.see([]registry.Member{me}, at.Add(waited))
		if waited > time.Minute {
			t.Fatal("nothing is ever taken")
		}
	}
	if waited > debounceMost {
		t.Errorf("after %s, want %s at most", waited, debounceMost)
	}

	t.Log("what an older watch says changes nothing")
	s.hold(0, registry.Holding{Holder: other, Revision: 0})
	if !s.leases[0].Holder.Is(me) {
		t.Error("it does")
	}
}

// TestWhoLeavesTakesNothingMore: its partitions are others', and not free before it has given them back.
func TestWhoLeavesTakesNothingMore(t *testing.T) {
	me, other := registry.NewMember("me"), registry.NewMember("other")
	other.Leaving = true
	s := state{me: me, partitions: 2, loaded: true, leases: map[int]registry.Holding{0: {Holder: other, Revision: 1}}}
	s.see([]registry.Member{me, other}, time.Now())
	if d := s.decide(time.Now()); !slices.Equal(d.take, []int{1}) || len(d.give) > 0 {
		t.Errorf("%+v, want partition 1 to be taken and nothing else", d)
	}
	s.hold(0, registry.Holding{Revision: 2})
	if d := s.decide(time.Now()); !slices.Equal(d.take, []int{0, 1}) {
		t.Errorf("%+v, want both to be taken", d)
	}
	s.see([]registry.Member{{Name: me.Name, Incarnation: me.Incarnation, Leaving: true}}, time.Now())
	if d := s.decide(time.Now()); len(d.take) > 0 {
		t.Errorf("%+v, want nothing to be taken by one that leaves", d)
	}
}
