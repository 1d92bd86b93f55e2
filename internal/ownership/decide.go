package ownership

import (
	"time"

	"github.com/shapebus/shapebus/internal/registry"
)

// state is what a process knows of who is there and who holds what. It does no I/O and knows no clock.
type state struct {
	me         registry.Member
	partitions int
	members    []registry.Member
	seen       bool      // the members are known
	loaded     bool      // the leases are known
	came       time.Time // when another member was seen to come last
	coming     time.Time // when the first of those came that came one soon after another
	leases     map[int]registry.Holding
}

// see is told who is there.
func (s *state) see(now []registry.Member, at time.Time) {
	for _, m := range now {
		if !m.Is(s.me) && !m.Leaving && !s.present(m) {
			if at.Sub(s.came) > debounce {
				s.coming = at
			}
			s.came = at
		}
	}
	s.members, s.seen = now, true
}

// present reports whether a member is there. One that leaves is, until it has given back what it holds.
func (s *state) present(m registry.Member) bool {
	for _, o := range s.members {
		if o.Is(m) {
			return true
		}
	}
	return false
}

// hold is told who holds a partition. What is older than what is known changes nothing.
func (s *state) hold(p int, now registry.Holding) {
	if now.Revision >= s.leases[p].Revision {
		s.leases[p] = now
	}
}

// decision is what a process has to do.
type decision struct {
	take []int          // free, and its own
	keep []int          // held, and its own
	give []int          // held, and another's
	to   map[int]string // whose those are, by name
	wait time.Duration  // after which there may be more to do; 0 is when something is seen
}

// decide works out what to do.
func (s *state) decide(now time.Time) (d decision) {
	if !s.seen || !s.loaded || !s.present(s.me) {
		return d
	}
	// One that comes again and again must not keep the others from taking what is free.
	if wait := min(debounce-now.Sub(s.came), debounceMost-now.Sub(s.coming)); wait > 0 {
		d.wait = wait
		return d
	}
	var ids []string
	names := map[string]string{}
	for _, m := range s.members {
		if !m.Leaving {
			ids = append(ids, id(m))
			names[id(m)] = m.Name
		}
	}
	held := map[int]string{}
	for p, l := range s.leases {
		if s.present(l.Holder) {
			held[p] = id(l.Holder)
		}
	}
	d.to = map[int]string{}
	for p, owner := range Plan(ids, s.partitions, held) {
		switch mine := owner == id(s.me); {
		case mine && held[p] == "":
			d.take = append(d.take, p)
		case mine && held[p] == owner:
			d.keep = append(d.keep, p)
		case !mine && held[p] == id(s.me):
			d.give = append(d.give, p)
			d.to[p] = names[owner]
		}
	}
	return d
}

// id names an incarnation of a member.
func id(m registry.Member) string { return m.Name + " " + m.Incarnation }
