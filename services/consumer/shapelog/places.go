package shapelog

import (
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// Parked are the places that a checkpoint names, by handle.
type Parked map[string]*wire.ParkedAt

// ParkedIn lists the places that a checkpoint names.
func ParkedIn(cp *wire.Checkpoint) Parked {
	all := Parked{}
	for i := range cp.Parked {
		for _, h := range cp.Parked[i].Handles {
			all[h] = &cp.Parked[i]
		}
	}
	return all
}

// PlaceOf finds where an outer shape's log stands: by its last commit marker, or by a checkpoint
// that says more. cp is the checkpoint's LSN, parked what it says of shapes that are elsewhere. ok
// is false if neither the log nor a checkpoint says.
func PlaceOf(rec *registry.Shape, live bool, tail wire.Tail, cp change.LSN, parked Parked) (at change.LSN, deferred string, ok bool) {
	at, deferred, ok = tail.Committed.LSN, tail.Deferred, tail.Committed.LSN != 0
	if p := parked[rec.Handle]; p != nil {
		if change.LSN(p.LSN) > at || change.LSN(p.LSN) == at && len(p.Deferred) < len(deferred) {
			at, deferred, ok = change.LSN(p.LSN), p.Deferred, true
		}
		return at, deferred, ok
	}
	if live && cp >= at {
		at, deferred, ok = cp, "", true
	}
	return at, deferred, ok
}

// WholeTo is the LSN up to which a live shape's log has every transaction, as PlaceOf tells: what was deferred there is
// missing, whatever the last marker says of what has come since and changed nothing.
func WholeTo(rec *registry.Shape, tail wire.Tail, cp change.LSN, parked Parked) change.LSN {
	at, deferred, _ := PlaceOf(rec, true, tail, cp, parked)
	if missing, err := wire.ParseDeferred(deferred); err == nil && len(missing) > 0 {
		return min(at, missing[0]-1)
	}
	return at
}
