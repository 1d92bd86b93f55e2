package materializer

// floor decides how far a durable may be acknowledged. It offers the last place
// in the stream at which no followed log stood inside a transaction and behind which all
// verdicts on what stands before it are stored. So what the durable has left behind is settled:
// a successor needs nothing of it but to build its sets, and for that it reads bases
// and logs, not the durable. Pure; owned by one goroutine.
type floor struct {
	sent    uint64 // verdicts sent so far
	waiting []quiet
	ready   quiet
}

// quiet is a place at which no transaction stands open.
type quiet struct {
	seq  uint64
	sent uint64       // verdicts that must be stored first
	ack  func() error // acknowledges everything up to the place
}

// Sent notes that a verdict was sent.
func (f *floor) Sent() { f.sent++ }

// Quiet notes a place behind everything before it.
func (f *floor) Quiet(seq uint64, ack func() error) {
	q := quiet{seq: seq, sent: f.sent, ack: ack}
	if last := len(f.waiting) - 1; last >= 0 && f.waiting[last].sent == q.sent {
		f.waiting[last] = q // the later one does for both
		return
	}
	f.waiting = append(f.waiting, q)
}

// Take returns the last place that may be acknowledged, once; ok is false when
// there is no new one. stored is how many of the verdicts sent are stored.
func (f *floor) Take(stored uint64) (q quiet, ok bool) {
	n := 0
	for n < len(f.waiting) && f.waiting[n].sent <= stored {
		f.ready, ok = f.waiting[n], true
		n++
	}
	f.waiting = append(f.waiting[:0], f.waiting[n:]...)
	return f.ready, ok
}
