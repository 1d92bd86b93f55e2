package ingest

import (
	"fmt"
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// tail says where the change log ends: everything below lsn is stored, and of
// the transaction (or barrier) at lsn exactly this. It is what a new session
// leaves out.
//
// Groups make it small. Every op below a fragment's group is stored, and none
// above it under a lower group, so the messages of the last group tell all,
// however large the transaction is.
type tail struct {
	lsn       change.LSN
	fragments bool // there are fragments of it
	group     uint64
	tables    map[string]*stored // by the relation's fingerprint: what the last group holds
	renewed   map[string]bool    // fingerprints of relation entries behind the last fragment
	barriers  int                // at lsn
}

// stored is what the last group holds of one table.
type stored struct {
	ops    bool
	last   uint64 // index of its last op
	marker bool
}

// holds reports whether an op of the transaction at lsn is stored.
func (t *tail) holds(fingerprint string, index uint64) bool {
	if !t.fragments {
		return false
	}
	if index < t.group {
		return true
	}
	s := t.tables[fingerprint]
	return s != nil && s.ops && index <= s.last
}

// marked reports whether a table's commit marker is stored.
func (t *tail) marked(fingerprint string) bool {
	s := t.tables[fingerprint]
	return s != nil && s.marker
}

// passed reports whether nothing from index next on is stored.
func (t *tail) passed(next uint64) bool {
	for _, s := range t.tables {
		if s.marker || s.ops && s.last >= next {
			return false
		}
	}
	return true
}

// storedMessage is a message of the change log as it is stored, which may be
// one part of several.
type storedMessage struct {
	subject string
	header  nats.Header
	data    []byte
}

// tailReader finds a log's tail from its messages, the last one first. It is
// pure; the caller gets the messages.
type tailReader struct {
	control string // the control subject
	tail    tail
	found   bool // tail.lsn is set
	parts   []storedMessage
	want    int // index of the part that must come next; -1 when none is wanted
	decoder wire.ChangeDecoder
}

func newTailReader(source topology.Source) *tailReader {
	return &tailReader{
		control: source.ControlSubject(),
		tail:    tail{tables: map[string]*stored{}, renewed: map[string]bool{}},
		want:    -1,
	}
}

// add takes the message before the one added last. It returns true when the
// tail is known and no further message is needed.
func (r *tailReader) add(m storedMessage) (done bool, err error) {
	index, count, err := stream.Part(m.header)
	if err != nil {
		return false, fmt.Errorf("read the end of the change log: %w", err)
	}
	if count > 1 {
		switch {
		case index == count-1: // the last part of a finished set
			r.parts = append(r.parts[:0], m)
		case len(r.parts) > 0 && index == r.want && m.subject == r.parts[0].subject:
			r.parts = append(r.parts, m)
		default: // a set whose writer did not live to finish it: not there
			r.parts = r.parts[:0]
			return false, nil
		}
		if r.want = index - 1; index > 0 {
			return false, nil
		}
		whole := storedMessage{subject: m.subject, header: r.parts[0].header}
		for _, p := range slices.Backward(r.parts) {
			whole.data = append(whole.data, p.data...)
		}
		r.parts = r.parts[:0]
		m = whole
	} else {
		r.parts = r.parts[:0]
	}
	return r.whole(m)
}

func (r *tailReader) whole(m storedMessage) (done bool, err error) {
	lsn, err := stream.LSN(m.header)
	if err != nil || !r.readable(m) {
		// Not what ingest writes, so it says nothing of how far that came.
		// The consumer ends the shapes that it concerns.
		return false, nil //nolint:nilerr // see above
	}
	if r.found && lsn != r.tail.lsn {
		return true, nil
	}
	r.found, r.tail.lsn = true, lsn
	if m.subject == r.control {
		return r.entry(m.data)
	}
	return r.fragments(m.data)
}

// readable reports whether a message is one of the change log's.
func (r *tailReader) readable(m storedMessage) bool {
	if m.subject == r.control {
		_, err := wire.DecodeControl(m.data)
		return err == nil
	}
	return r.decoder.Decode(m.data, func(*change.Fragment) error { return nil }) == nil
}

func (r *tailReader) entry(data []byte) (done bool, err error) {
	c, err := wire.DecodeControl(data)
	if err != nil {
		return false, fmt.Errorf("read the end of the change log: %w", err)
	}
	switch c.Kind {
	case wire.ControlBarrier:
		r.tail.barriers++
	case wire.ControlRelation:
		if !r.tail.fragments {
			r.tail.renewed[c.Relation] = true
		}
	case wire.ControlReset:
		return true, nil // nothing before it counts
	}
	return false, nil
}

func (r *tailReader) fragments(data []byte) (done bool, err error) {
	t := &r.tail
	err = r.decoder.Decode(data, func(f *change.Fragment) error {
		if f.LSN != t.lsn {
			return nil // an earlier transaction in the same message
		}
		if !t.fragments {
			t.fragments, t.group = true, f.Group
		}
		if f.Group != t.group {
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
