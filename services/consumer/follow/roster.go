package follow

// roster is an unordered set of followers with O(1) removal: each follower knows its places in the
// rosters that it is in. Owned by whoever owns the router.
type roster struct {
	slot  rosterSlot
	items []*Follower
}

// rosterSlot is where a follower keeps its place in one kind of roster.
type rosterSlot uint8

const (
	inTable rosterSlot = iota // the shapes of its table
	inOpen                    // those whose logs stand inside a transaction
	inDirty                   // those that gathered something
	inOwed                    // those whose commit markers wait for the transaction's end
	rosterSlots
)

// places are a follower's places in rosters, plus one; 0 is for those that it is not in.
type places [rosterSlots]int32

// add adds f unless it is there.
func (l *roster) add(f *Follower) {
	if f.places[l.slot] == 0 {
		l.items = append(l.items, f)
		f.places[l.slot] = int32(len(l.items))
	}
}

// remove takes f out if it is there, and puts the last one in its place.
func (l *roster) remove(f *Follower) {
	at := f.places[l.slot]
	if at == 0 {
		return
	}
	last := len(l.items) - 1
	moved := l.items[last]
	l.items[at-1] = moved
	moved.places[l.slot] = at
	f.places[l.slot] = 0
	l.items[last] = nil
	l.items = l.items[:last]
}

// take empties the roster and returns what was in it.
func (l *roster) take() []*Follower {
	items := l.items
	l.items = nil
	for _, f := range items {
		f.places[l.slot] = 0
	}
	return items
}
