package follow

import "testing"

func TestRostersLoseWhoeverIsTakenOut(t *testing.T) {
	a, b, c := &Follower{}, &Follower{}, &Follower{}
	open, dirty := roster{slot: inOpen}, roster{slot: inDirty}
	for _, f := range []*Follower{a, b, c, a} {
		open.add(f)
		dirty.add(f)
	}
	open.remove(a)
	open.remove(a)
	if len(open.items) != 2 || open.items[0] != c || open.items[1] != b {
		t.Errorf("left: %p, want %p %p", open.items, c, b)
	}
	open.remove(b)
	open.add(a)
	if got := dirty.take(); len(got) != 3 || len(dirty.items) != 0 || a.places[inDirty] != 0 || a.places[inOpen] != 2 {
		t.Errorf("taken %p; places %v", got, a.places)
	}
}
