package ingest

import (
	"time"

	"github.com/shapebus/shapebus/pkg/change"
)

// ackWindow knows which LSN may be confirmed to Postgres. It is pure: times
// come from the caller. The zero value is not usable; see newAckWindow.
//
// Messages enter it in the order of the stream and leave it in the same order.
// An LSN passes three places: received (nothing below it is still to come),
// acked (everything below it is stored) and synced (and has been for as long
// as JetStream may take to write it to disk).
type ackWindow struct {
	syncAfter time.Duration

	inFlight []change.LSN // per message: what it lets pass, 0 for nothing; a ring
	head, n  int
	ackedLSN change.LSN

	stamps    []stamp // acked LSNs with the time from which each counts, ascending
	syncedLSN change.LSN
}

type stamp struct {
	lsn change.LSN
	at  time.Time
}

// stampsKept bounds the stamps: those closer together than a fraction of the
// sync interval share one.
const stampsKept = 64

func newAckWindow(syncAfter time.Duration) *ackWindow {
	return &ackWindow{syncAfter: syncAfter, inFlight: make([]change.LSN, 16)}
}

// publish notes a message handed to JetStream. When it is stored, everything
// below end is; 0 says that it lets nothing new pass (more of its transaction follows).
func (w *ackWindow) publish(end change.LSN) {
	if w.n == len(w.inFlight) {
		grown := make([]change.LSN, 2*len(w.inFlight))
		for i := range w.n {
			grown[i] = w.inFlight[(w.head+i)%len(w.inFlight)]
		}
		w.inFlight, w.head = grown, 0
	}
	w.inFlight[(w.head+w.n)%len(w.inFlight)] = end
	w.n++
}

// received notes that everything below lsn has come and what there was to
// publish of it has been published.
func (w *ackWindow) received(lsn change.LSN) {
	if w.n == 0 {
		w.ackedLSN = max(w.ackedLSN, lsn)
		return
	}
	last := &w.inFlight[(w.head+w.n-1)%len(w.inFlight)]
	*last = max(*last, lsn)
}

// stored notes that JetStream has the oldest message in flight.
func (w *ackWindow) stored() {
	w.ackedLSN = max(w.ackedLSN, w.inFlight[w.head])
	w.head = (w.head + 1) % len(w.inFlight)
	w.n--
}

// acked is the LSN below which everything is stored.
func (w *ackWindow) acked() change.LSN { return w.ackedLSN }

// stamp notes that everything below lsn was acked at the time now at the
// latest. Calls come with rising times and LSNs that acked has returned.
func (w *ackWindow) stamp(lsn change.LSN, now time.Time) {
	at := now.Add(w.syncAfter)
	bucket := w.syncAfter / stampsKept
	if i := len(w.stamps) - 1; i >= 0 {
		if lsn <= w.stamps[i].lsn {
			return
		}
		// A stamp may move only to a later LSN that still counts no earlier
		// than it should, so buckets end in the future.
		if !at.After(w.stamps[i].at) {
			w.stamps[i].lsn = lsn
			return
		}
	}
	if lsn > w.syncedLSN {
		w.stamps = append(w.stamps, stamp{lsn: lsn, at: at.Add(bucket)})
	}
}

// confirmable is the LSN that Postgres may be told at the time now; 0 while
// there is none. It never falls.
func (w *ackWindow) confirmable(now time.Time) change.LSN {
	i := 0
	for i < len(w.stamps) && !w.stamps[i].at.After(now) {
		w.syncedLSN = max(w.syncedLSN, w.stamps[i].lsn)
		i++
	}
	w.stamps = append(w.stamps[:0], w.stamps[i:]...)
	return w.syncedLSN
}
