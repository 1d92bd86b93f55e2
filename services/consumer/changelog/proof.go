package changelog

import (
	"errors"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// Proof tells whether the change log goes on with the history that a snapshot was taken of. A
// server may fail over to one that lacks what the snapshot has seen. If ingest had not published
// that, the change log goes on as if it had never been.
//
// So the snapshot's own connection writes a message into the WAL, behind all that the snapshot
// sees. Where the change log shows it, it has told all of that. Where it comes to a later place
// without it, it never will.
type Proof struct {
	ID    string     // the message's payload
	LSN   change.LSN // where its record ends; 0 while that is not known
	Shown bool
}

// Take looks for the message among the change log's entries.
func (p *Proof) Take(c wire.Control) {
	if c.Kind == wire.ControlBarrier && c.Payload == p.ID {
		p.Shown = true
	}
}

// Lost reports whether the message will not come, when the change log has come to an LSN.
func (p *Proof) Lost(at change.LSN) bool { return !p.Shown && p.LSN != 0 && at >= p.LSN }

// ErrUnproven says that a snapshot must not be used.
var ErrUnproven = errors.New("the snapshot was taken of a server that the change log does not go on from: the database failed over; another snapshot is taken")
