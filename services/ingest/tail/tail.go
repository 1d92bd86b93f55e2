// Package tail says where the change log ends, and what of its last transaction is stored: a new session of ingest leaves out
// exactly that. Reader, which decides it, is pure and is given the log's messages, the last one first; Read gets them for it.
package tail

import (
	"fmt"
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// Tail says where the change log ends: everything below LSN is stored, and of
// the transaction (or barrier) at LSN exactly this. It is what a new session
// leaves out.
//
// Groups make it small. Every op below a fragment's group is stored, and none
// above it under a lower group, so the messages of the last group tell all,
// however large the transaction is.
type Tail struct {
	LSN       change.LSN
	Fragments bool               // there are fragments of it
	Group     uint64             // of the last fragment
	tables    map[string]*stored // by the relation's fingerprint: what the last group holds
	Renewed   map[string]bool    // fingerprints of relation entries behind the last fragment
	Barriers  int                // at LSN
}

// stored is what the last group holds of one table.
type stored struct {
	ops    bool
	last   uint64 // index of its last op
	marker bool
}

// Holds reports whether an op of the transaction at LSN is stored.
func (t *Tail) Holds(fingerprint string, index uint64) bool {
	if !t.Fragments {
		return false
	}
	if index < t.Group {
		return true
	}
	s := t.tables[fingerprint]
	return s != nil && s.ops && index <= s.last
}

// Marked reports whether a table's commit marker is stored.
func (t *Tail) Marked(fingerprint string) bool {
	s := t.tables[fingerprint]
	return s != nil && s.marker
}

// Passed reports whether nothing from index next on is stored.
func (t *Tail) Passed(next uint64) bool {
	for _, s := range t.tables {
		if s.marker || s.ops && s.last >= next {
			return false
		}
	}
	return true
}

// Message is a message of the change log as it is stored, which may be
// one part of several.
type Message struct {
	Subject string
	Header  nats.Header
	Data    []byte
}

// Reader finds a log's tail from its messages, the last one first. It is
// pure; the caller gets the messages.
type Reader struct {
	control string // the control subject
	tail    Tail
	found   bool // tail.LSN is set
	parts   []Message
	want    int // index of the part that must come next; -1 when none is wanted
	decoder wire.ChangeDecoder
}

// NewReader reads the change log of a source.
func NewReader(source topology.Source) *Reader {
	return &Reader{
		control: source.ControlSubject(),
		tail:    Tail{tables: map[string]*stored{}, Renewed: map[string]bool{}},
		want:    -1,
	}
}

// Tail is what the messages added so far tell. It is that of the log once Add has returned true, or there is no further message.
func (r *Reader) Tail() *Tail { return &r.tail }

// Add takes the message before the one added last. It returns true when the
// tail is known and no further message is needed.
func (r *Reader) Add(m Message) (done bool, err error) {
	index, count, err := stream.Part(m.Header)
	if err != nil {
		return false, fmt.Errorf("read the end of the change log: %w", err)
	}
	if count > 1 {
		switch {
		case index == count-1: // the last part of a finished set
			r.parts = append(r.parts[:0], m)
		case len(r.parts) > 0 && index == r.want && m.Subject == r.parts[0].Subject:
			r.parts = append(r.parts, m)
		default: // a set whose writer did not live to finish it: not there
			r.parts = r.parts[:0]
			return false, nil
		}
		if r.want = index - 1; index > 0 {
			return false, nil
		}
		whole := Message{Subject: m.Subject, Header: r.parts[0].Header}
		for _, p := range slices.Backward(r.parts) {
			whole.Data = append(whole.Data, p.Data...)
		}
		r.parts = r.parts[:0]
		m = whole
	} else {
		r.parts = r.parts[:0]
	}
	return r.whole(m)
}

func (r *Reader) whole(m Message) (done bool, err error) {
	lsn, err := stream.LSN(m.Header)
	if err != nil || !r.readable(m) {
		// Not what ingest writes, so it says nothing of how far that came.
		// The consumer ends the shapes that it concerns.
		return false, nil //nolint:nilerr // see above
	}
	if r.found && lsn != r.tail.LSN {
		return true, nil
	}
	r.found, r.tail.LSN = true, lsn
	if m.Subject == r.control {
		return r.entry(m.Data)
	}
	return r.fragments(m.Data)
}

// readable reports whether a message is one of the change log's.
func (r *Reader) readable(m Message) bool {
	if m.Subject == r.control {
		_, err := wire.DecodeControl(m.Data)
		return err == nil
	}
	return r.decoder.Decode(m.Data, func(*change.Fragment) error { return nil }) == nil
}

func (r *Reader) entry(data []byte) (done bool, err error) {
	c, err := wire.DecodeControl(data)
	if err != nil {
		return false, fmt.Errorf("read the end of the change log: %w", err)
	}
	switch c.Kind {
	case wire.ControlBarrier:
		r.tail.Barriers++
	case wire.ControlRelation:
		if !r.tail.Fragments {
			r.tail.Renewed[c.Relation] = true
		}
	case wire.ControlReset:
		return true, nil // nothing before it counts
	}
	return false, nil
}

func (r *Reader) fragments(data []byte) (done bool, err error) {
	t := &r.tail
	err = r.decoder.Decode(data, func(f *change.Fragment) error {
		if f.LSN != t.LSN {
			return nil // an earlier transaction in the same message
		}
		if !t.Fragments {
			t.Fragments, t.Group = true, f.Group
		}
		if f.Group != t.Group {
			done = true
			return nil
		}
		s := t.tables[f.Relation]
		if s == nil {
			s = &stored{}
			t.tables[f.Relation] = s
		}
		s.marker = s.marker || f.Last
		if n := len(f.Ops); n > 0 {
			s.ops, s.last = true, max(s.last, f.Ops[n-1].Index)
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("read the end of the change log: %w", err)
	}
	return done, nil
}
