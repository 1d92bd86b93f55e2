package changelog

import (
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// Proofs are those that the main loop looks for, on behalf of others. Owned by the main loop.
type Proofs map[*Awaited]bool

// Awaited is a proof that the main loop looks for. It is the main loop's until done is closed.
type Awaited struct {
	Proof

	Nudge string // payload of the barriers written behind the proof's message
	Gone  bool   // the message will not come
	Done  chan struct{}
}

// Expect begins to look for the proof of a snapshot that is about to be opened: its
// message may come before the one who opens it goes on. id is the message's payload.
func (p Proofs) Expect(id string) *Awaited {
	a := &Awaited{Proof: Proof{ID: id}, Nudge: id + "/nudge", Done: make(chan struct{})}
	p[a] = true
	return a
}

// Stands is told where the record of a proof's message ends. at is where the change log stands.
func (p Proofs) Stands(a *Awaited, lsn, at change.LSN) {
	if p[a] {
		a.LSN = lsn
		p.judge(a, at)
	}
}

// judge decides what can be decided. at is where the change log stands.
func (p Proofs) judge(a *Awaited, at change.LSN) {
	a.Gone = a.Gone || a.Lost(at)
	if a.Shown || a.Gone {
		close(a.Done)
		delete(p, a)
	}
}

// LookFor looks for proofs where a message of the change log comes.
func (p Proofs) LookFor(at change.LSN) {
	for a := range p {
		p.judge(a, at)
	}
}

// Show looks for proofs in a barrier.
func (p Proofs) Show(c wire.Control) {
	for a := range p {
		a.Take(c)
		a.Gone = !a.Shown && c.Payload == a.Nudge // written later, it stands behind the message
		p.judge(a, 0)
	}
}

// Forget stops looking for a proof.
func (p Proofs) Forget(a *Awaited) { delete(p, a) }
