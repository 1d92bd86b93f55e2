package stream

import (
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
)

// Place is how far a reader of the change log has come. Whether something
// between it and the next message was lost is told by LSNs, never by sequences: the
// server's numbers jump when it loses its unsynced tail, and begin again in a stream that was
// made again. Sequences help only inside of one transaction, all of whose
// messages have one LSN.
type Place struct {
	// LSN is that of the last message read. The reader has all that committed
	// below it, and what committed at it unless there is More.
	LSN change.LSN
	// Seq is the sequence of the last message read; 0 if none of this stream was.
	Seq uint64
	// More says that the transaction at LSN goes on behind Seq.
	More bool
}

// Whole is the LSN up to which the reader has everything.
func (p Place) Whole() change.LSN {
	if p.More && p.LSN > 0 {
		return p.LSN - 1
	}
	return p.LSN
}

// Has reports whether the reader has all that committed at lsn.
func (p Place) Has(lsn change.LSN) bool { return lsn <= p.Whole() }

// Step is the next message that a reader comes to, as far as its place is concerned.
type Step struct {
	LSN   change.LSN
	After change.LSN // of the message before, as the writer knows it
	Told  bool       // After is known; messages of older versions do not say
	More  bool       // another one with the same LSN follows
	First uint64     // sequence of its first part
	Seq   uint64     // and of its last
}

// StepOf reads a message's header.
func StepOf(m *Received) (Step, error) {
	s := Step{First: m.First, Seq: m.Seq, More: m.Header.Get(topology.HeaderMore) != ""}
	var err error
	if s.LSN, err = LSN(m.Header); err != nil {
		return s, fmt.Errorf("change log message %d: %w", m.Seq, err)
	}
	s.After, s.Told, err = after(m.Header)
	if err != nil {
		return s, fmt.Errorf("change log message %d: %w", m.Seq, err)
	}
	return s, nil
}

func after(h nats.Header) (change.LSN, bool, error) {
	text := h.Get(topology.HeaderAfter)
	if text == "" {
		return 0, false, nil
	}
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, false, fmt.Errorf("header %s: %w", topology.HeaderAfter, err)
	}
	return change.LSN(v), true, nil
}

// Lost returns the LSN up to which a reader at p has lost what it had not read
// when s comes next; 0 if it has lost nothing. first is the stream's first
// sequence, which counts only where s does not follow p's sequence.
func (p Place) Lost(s Step, first uint64) change.LSN {
	switch {
	case !s.Told:
		return 0
	case s.After > p.LSN:
		return s.After
	case s.After == p.LSN && p.More && s.First != p.Seq+1 && first > p.Seq+1:
		// The writer went on behind the transaction that the reader is in the
		// middle of, or in it, and what came next has been discarded.
		return p.LSN
	}
	return 0
}

// Pass is the place behind s.
func (p Place) Pass(s Step) Place {
	if p.Has(s.LSN) && s.Told { // the log repeats what it had lost
		p.Seq = s.Seq
		return p
	}
	return Place{LSN: s.LSN, Seq: s.Seq, More: s.More || !s.Told}
}
