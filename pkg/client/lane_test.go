package client

import (
	"maps"
	"testing"

	"pgregory.net/rapid"
)

// logged is a transaction of a lane's log in the model.
type logged struct {
	begin, lsn, passed LSN // as Begin and Commit have them
	unit               bool
	holds              []LSN // the transactions that come with it
}

// model is a shape's log, made of the transactions that concern the shape.
type model struct {
	concern map[LSN]bool // all transactions that change what the query returns
	log     []logged
	gaps    [][2]LSN // while the log is within (first, last] the control plane says first
	first   LSN      // the snapshot's
	seen    map[LSN]bool
}

// draw makes a log of transactions at the LSNs 10, 20, … up to last.
func draw(t *rapid.T, last LSN) *model {
	m := &model{concern: map[LSN]bool{}, seen: map[LSN]bool{}}
	m.first = LSN(rapid.IntRange(1, 5).Draw(t, "snapshot"))*10 - 5
	inner := rapid.Bool().Draw(t, "has a subquery")
	var late []LSN // the snapshot did not see them
	for at := LSN(10); at <= last; at += 10 {
		if rapid.IntRange(0, 2).Draw(t, "concerns it") > 0 {
			continue
		}
		m.concern[at] = true
		switch {
		case at < m.first && rapid.IntRange(0, 3).Draw(t, "late") > 0:
			m.seen[at] = true
		case at < m.first:
			late = append(late, at)
		case inner && rapid.IntRange(0, 3).Draw(t, "unit") == 0:
			to := min(last, at+LSN(rapid.IntRange(0, 4).Draw(t, "length"))*10)
			u := logged{unit: true, lsn: to, passed: to, holds: []LSN{at}, begin: to}
			var deferred []LSN
			for x := at + 10; x <= to; x += 10 {
				if rapid.Bool().Draw(t, "concerns it too") {
					m.concern[x] = true
					if x < to && rapid.IntRange(0, 3).Draw(t, "deferred") == 0 {
						deferred = append(deferred, x)
						continue
					}
					u.holds = append(u.holds, x)
				}
			}
			if rapid.Bool().Draw(t, "begins early") {
				u.begin = at
			}
			if len(deferred) > 0 {
				u.passed = deferred[0] - 1
			}
			m.log = append(m.log, u)
			for i, x := range deferred {
				a := logged{begin: to, lsn: to, passed: to, holds: []LSN{x}}
				if i+1 < len(deferred) {
					a.passed = deferred[i+1] - 1
				}
				m.log = append(m.log, a)
			}
			m.gaps = append(m.gaps, [2]LSN{at - 1, to})
			at = to
		default:
			m.log = append(m.log, logged{begin: at, lsn: at, passed: at, holds: []LSN{at}})
		}
	}
	var before []logged
	for _, x := range late {
		before = append(before, logged{begin: x, lsn: x, passed: x, holds: []LSN{x}})
	}
	m.log = append(before, m.log...)
	return m
}

// reached is what the control plane and the log say when the change log has been seen up to lsn.
func (m *model) reached(lsn LSN) (entries int, upto LSN) {
	for _, g := range m.gaps {
		if g[0] < lsn && lsn < g[1] {
			lsn = g[0]
		}
	}
	for entries < len(m.log) && m.log[entries].lsn <= lsn {
		entries++
	}
	return entries, lsn
}

// Whatever the logs are and whoever is slow, all lanes of a show hold exactly what committed up to its moment, and
// in the end all is shown.
func TestAGroupShowsMoments(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const last = LSN(300)
		type reader struct {
			*model

			lane  lane
			read  int // entries of the log that are taken
			holds map[LSN]bool
		}
		g := &Group{}
		var readers []*reader
		for range rapid.IntRange(1, 4).Draw(t, "shapes") {
			m := draw(t, last)
			readers = append(readers, &reader{model: m, holds: maps.Clone(m.seen)})
		}
		var head LSN // of the change log
		shows := 0
		turn := func() (asks []int) {
			for {
				lanes := make([]lane, len(readers))
				for i, r := range readers {
					lanes[i] = r.lane
				}
				p := plan(lanes, g.wantedLocked(), g.floor, g.settled && g.ready)
				for _, i := range p.advance {
					if !readers[i].lane.pending {
						t.Fatalf("lane %d is to advance and has nothing to read", i)
					}
					readers[i].lane.pending, readers[i].lane.moving, g.settled = false, true, false
				}
				if !p.show {
					return p.ask
				}
				if p.at < g.floor {
					t.Fatalf("shows %d behind %d", p.at, g.floor)
				}
				for i, r := range readers {
					for x := range r.concern {
						if r.holds[x] != (x <= p.at) {
							t.Fatalf("at %d lane %d of %+v has the transaction at %d: %t", p.at, i, r.lane, x, r.holds[x])
						}
					}
				}
				g.floor, g.settled, g.ready = p.at, true, true
				shows++
			}
		}
		for steps := 0; !g.ready || g.floor < last; steps++ {
			if steps > 5000 {
				t.Fatalf("stays at %d of %d", g.floor, last)
			}
			asks := turn()
			i := rapid.IntRange(0, len(readers)).Draw(t, "who")
			if i == len(readers) {
				head = min(last, head+LSN(rapid.IntRange(0, 30).Draw(t, "the change log goes on")))
				if head == last {
					g.waits = []LSN{last}
				}
				for _, i := range asks {
					r := readers[i]
					if n, upto := r.reached(head); r.lane.ready && !r.lane.moving && r.read >= n {
						r.lane.upto = max(r.lane.upto, upto)
					}
				}
				continue
			}
			r := readers[i]
			there, _ := r.reached(head)
			switch {
			case !r.lane.ready && r.read == 0 && r.first <= head+50 && !r.lane.moving:
				r.lane = lane{ready: true, lo: r.first - 1}
				g.settled = false
			case r.lane.moving:
				e := r.log[r.read]
				r.read++
				for _, x := range e.holds {
					r.holds[x] = true
				}
				upto := e.passed
				if rapid.IntRange(0, 3).Draw(t, "its message holds more") == 0 && r.read < there {
					upto = 0
				}
				r.lane = lane{ready: true, lo: max(e.lsn, r.first-1), upto: upto}
				g.settled = false
			case r.lane.ready && !r.lane.pending && r.read < there:
				e := r.log[r.read]
				r.lane.pending, r.lane.next = true, e.begin
				if !e.unit && e.begin > r.lane.lo {
					r.lane.upto = max(r.lane.upto, e.begin-1)
				}
			}
		}
		if shows == 0 {
			t.Fatal("shows nothing")
		}
	})
}
