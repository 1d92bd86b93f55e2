package group

import (
	"github.com/shapebus/shapebus/services/consumer/group/conns"
	"github.com/shapebus/shapebus/services/consumer/live"
)

// Groups is all groups of a main loop, which owns what is here.
type Groups struct {
	*live.Loop

	conns *conns.Pool
	All   map[*group]bool
	last  int // number of the group made last
}

// NewGroups makes a set without groups.
func NewGroups(l *live.Loop, pool *conns.Pool) *Groups {
	return &Groups{Loop: l, conns: pool, All: map[*group]bool{}}
}
