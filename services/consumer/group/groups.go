package group

import "github.com/shapebus/shapebus/services/consumer/live"

// Groups is all groups of a main loop, which owns what is here.
type Groups struct {
	*live.Loop

	conns *Conns
	All   map[*group]bool
	last  int // number of the group made last
}

// NewGroups makes a set without groups.
func NewGroups(l *live.Loop, conns *Conns) *Groups {
	return &Groups{Loop: l, conns: conns, All: map[*group]bool{}}
}
