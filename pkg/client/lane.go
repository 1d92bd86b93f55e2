package client

// lane is one shape of a group, as far as it matters for the moment that all can show: the newest
// state that was read of it, which is complete, and what comes next.
//
// A state is what the shape was at every moment from lo to upto. It holds nothing that committed
// behind lo and lacks nothing that committed up to upto. While upto is less than lo it is of no moment: what the
// snapshot of the shape or of a unit did not see is still to come.
type lane struct {
	ready bool // there is a state
	lo    LSN
	upto  LSN

	moving  bool // the next transaction is being read: the state will be another one
	pending bool // the next transaction waits to be read
	next    LSN  // where it begins
}

// lanePlan is what a group does next.
type lanePlan struct {
	show    bool  // what all lanes have is what they were at one moment
	at      LSN   // that moment
	advance []int // lanes whose next transaction is to be read
	ask     []int // lanes about which it is to be learned how far their logs have come
}

// plan decides what comes next. wanted is a moment that somebody waits for; settled says that
// no lane has moved since the last show, of the moment shown.
//
// Transactions are taken in the order of their commits where that can be. A lane that has moved on to a moment that
// another one has not reached waits for it; there is always one that can move, or whose
// log has nothing more, about which the control plane knows how far that is.
func plan(lanes []lane, wanted, shown LSN, settled bool) lanePlan {
	var p lanePlan
	least := max(wanted, shown)
	for i := range lanes {
		least = max(least, lanes[i].lo)
	}
	all, upto := true, LSN(0)
	for i := range lanes {
		l := &lanes[i]
		switch {
		case !l.ready || l.moving:
			all = false
		case l.upto >= least:
			if upto == 0 || l.upto < upto {
				upto = l.upto
			}
		case l.pending:
			all, p.advance = false, append(p.advance, i)
		default:
			all, p.ask = false, append(p.ask, i)
		}
	}
	if !all {
		return p
	}
	if !settled || upto > shown {
		p.show, p.at = true, upto
		return p
	}
	for i := range lanes {
		l := &lanes[i]
		if l.pending && (len(p.advance) == 0 || l.next < lanes[p.advance[0]].next) {
			p.advance = []int{i}
		}
	}
	return p
}
