package consumer

// groupSet is all groups of a main loop, which owns what is here.
type groupSet struct {
	*mainLoop

	conns *unitConns
	all   map[*group]bool
	last  int // number of the group made last
}

// newGroupSet makes a set without groups.
func newGroupSet(l *mainLoop, conns *unitConns) *groupSet {
	return &groupSet{mainLoop: l, conns: conns, all: map[*group]bool{}}
}
