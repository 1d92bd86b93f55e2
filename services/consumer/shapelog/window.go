package shapelog

import (
	"slices"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// Window finds out what of a log has to be read on top of a snapshot's rows, to come to what the shape is at a
// marker that stands behind all that the snapshot sees. It is given the log's messages in order, from one on before
// which there is nothing that the snapshot does not see, up to the one with the marker. Pure.
type Window struct {
	held    change.Snapshot
	marker  change.Offset
	bytes   int64 // size of the log before the first message that has to be read; -1 while there is none
	through int64 // and up to the end of the one with the marker; -1 while there is no message
	met     bool  // the marker
	besides []uint64
}

// NewWindow begins to look.
func NewWindow(held change.Snapshot, marker change.Offset) *Window {
	return &Window{held: held, marker: marker, bytes: -1, through: -1}
}

// Done reports whether no other message has to be looked at.
func (w *Window) Done() bool { return w.met }

// Begin is told the size of the log before a message, whose entries follow.
func (w *Window) Begin(before int64) {
	if w.through < 0 {
		w.through = before // the marker may stand before what is looked at
	}
}

// Entry looks at an entry of the message between two sizes of the log.
func (w *Window) Entry(e *wire.Entry, before, after int64) {
	if e.Kind != wire.EntryOps {
		return
	}
	switch {
	case e.LSN > w.marker.LSN:
		w.met = true // it stands before this
	case w.held.Holds(e.XID, e.LSN):
		w.mark(e, after)
		return
	case e.LSN < w.held.LSN && !slices.Contains(w.besides, uint64(e.LSN)):
		w.besides = append(w.besides, uint64(e.LSN))
	}
	if w.bytes < 0 {
		w.bytes = before
	}
	w.mark(e, after)
}

func (w *Window) mark(e *wire.Entry, after int64) {
	if e.Last && (change.Offset{LSN: e.LSN, Op: e.End}) == w.marker {
		w.through, w.met = after, true
	}
}

// Generation says what was found. size is that of the log in which nothing had to be looked at.
func (w *Window) Generation(g *wire.Generation, size int64) {
	if w.through < 0 {
		w.through = size
	}
	if w.bytes < 0 || w.bytes > w.through {
		w.bytes = w.through
	}
	g.Snapshot, g.SnapshotLSN, g.Besides = w.held.String(), uint64(w.held.LSN), w.besides
	g.LSN, g.Op, g.Bytes, g.Through = uint64(w.marker.LSN), w.marker.Op, w.bytes, w.through
	slices.Sort(g.Besides)
}
