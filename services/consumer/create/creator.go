package create

import (
	"slices"

	"github.com/shapebus/shapebus/services/consumer/live"
)

// Creator creates shapes, on behalf of a main loop that owns what is here.
type Creator struct {
	*live.Loop

	begins line // shapes whose logs have no beginning yet
	goesOn line // the others
}

// NewCreator makes a creator.
func NewCreator(l *live.Loop) *Creator { return &Creator{Loop: l} }

// Lost takes out the shapes of a partition that cannot be written, and counts them. Runs on the main loop.
func (s *Creator) Lost(partition int, why error) (shapes int) {
	for _, l := range []*line{&s.begins, &s.goesOn} {
		l.waiting = slices.DeleteFunc(l.waiting, func(k *Parked) bool { return k.partition == partition })
	}
	for _, o := range s.Held() {
		if k, ok := o.(*Parked); ok && k.partition == partition {
			k.cancel(why)
			s.LetGo(k.ID, k)
			shapes++
		}
	}
	return shapes
}

// Creating are the shapes that are being created, or those of one table unless it is 0. Runs on the main loop.
func (s *Creator) Creating(only uint32) (all []*Parked) {
	for _, o := range s.Held() {
		// Without a table its record cannot be used, and it ends for that.
		if p, ok := o.(*Parked); ok && p.Table != nil && (only == 0 || p.Table.Relation.OID == only) {
			all = append(all, p)
		}
	}
	return all
}
