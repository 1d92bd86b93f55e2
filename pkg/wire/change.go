package wire

import (
	"slices"

	"github.com/shapebus/shapebus/pkg/change"
)

// Flags of a fragment.
const (
	flagFirst = 1 << iota
	flagLast
)

// Op shape in a change log message: [index, kind, key only, old row, new row].
const opFields = 5

// Fragment head and body: [xid, commit LSN, commit time, relation, flags,
// group, end, tables, [op …]].
const fragmentFields = 9

// FragmentBuilder gathers the ops of one fragment in encoded form. Rows are
// copied as they are added. The zero value is empty and ready. Not safe for
// concurrent use.
type FragmentBuilder struct {
	ops writer
	n   int
}

// NewFragmentBuilder returns an empty builder.
func NewFragmentBuilder() *FragmentBuilder { return &FragmentBuilder{} }

// Add appends an op.
func (b *FragmentBuilder) Add(op *change.Op) {
	w := &b.ops
	w.array(opFields)
	w.uint(op.Index)
	w.uint(uint64(op.Kind))
	w.bool(op.KeyOnly)
	w.row(op.Old)
	w.row(op.New)
	b.n++
}

// Len is the encoded size of the ops so far, in bytes; Ops their number.
func (b *FragmentBuilder) Len() int { return len(b.ops.b) }

// Ops is the number of ops so far.
func (b *FragmentBuilder) Ops() int { return b.n }

// ChangeBuilder gathers fragments into one change log message.
// Not safe for concurrent use.
type ChangeBuilder struct {
	w writer
	n int
}

// NewChangeBuilder returns an empty builder.
func NewChangeBuilder() *ChangeBuilder { return &ChangeBuilder{} }

// Add appends a fragment with the ops gathered in ops, and empties ops.
// head.Ops is not looked at.
func (b *ChangeBuilder) Add(head *change.Fragment, ops *FragmentBuilder) {
	w := &b.w
	if b.n == 0 {
		w.uint(Version)
	}
	b.n++
	w.array(fragmentFields)
	w.uint(uint64(head.XID))
	w.uint(uint64(head.LSN))
	w.int(head.CommitTime)
	w.str(head.Relation)
	var flags uint64
	if head.First {
		flags |= flagFirst
	}
	if head.Last {
		flags |= flagLast
	}
	w.uint(flags)
	w.uint(head.Group)
	w.uint(head.End)
	w.array(len(head.Tables))
	for _, oid := range head.Tables {
		w.uint(uint64(oid))
	}
	w.array(ops.n)
	w.b = append(w.b, ops.ops.b...)
	ops.n = 0
	ops.ops.reset()
}

// Len is the size of the message so far in bytes, Fragments their number.
func (b *ChangeBuilder) Len() int { return len(b.w.b) }

// Bytes returns the message, valid until the next Add or Reset.
func (b *ChangeBuilder) Bytes() []byte { return b.w.b }

// Reset empties the builder and keeps its memory.
func (b *ChangeBuilder) Reset() {
	b.w.reset()
	b.n = 0
}

// ChangeDecoder decodes change log messages, reusing its memory from one to
// the next. Not safe for concurrent use.
type ChangeDecoder struct {
	frag      change.Fragment
	ops       []change.Op
	rows      values
	relations names
}

// Decode calls f with each fragment of a message in turn. The fragment and
// everything it points to are valid until f returns. Errors of f are returned
// as they are; others wrap ErrCorrupt, unless a newer program wrote the message.
func (d *ChangeDecoder) Decode(data []byte, f func(*change.Fragment) error) error {
	r := &reader{b: data}
	r.version()
	for r.more() {
		d.rows.reset()
		r.tuple(fragmentFields, "fragment")
		d.frag = change.Fragment{
			XID:        change.XID(r.uint()),
			LSN:        change.LSN(r.uint()),
			CommitTime: r.int(),
			Relation:   d.relations.get(r.bytes()),
			Tables:     d.frag.Tables[:0],
		}
		flags := r.uint()
		d.frag.First, d.frag.Last = flags&flagFirst != 0, flags&flagLast != 0
		d.frag.Group = r.uint()
		d.frag.End = r.uint()
		for range r.array() {
			d.frag.Tables = append(d.frag.Tables, uint32(r.uint()))
		}
		n := r.arrayOf(1 + opFields)
		d.ops = slices.Grow(d.ops[:0], n)[:n]
		for i := range d.ops {
			if r.err != nil {
				break
			}
			r.tuple(opFields, "op")
			op := &d.ops[i]
			op.Index, op.Kind, op.KeyOnly = r.uint(), change.Kind(r.uint()), r.bool()
			op.Old = d.rows.row(r)
			op.New = d.rows.row(r)
		}
		if r.err != nil {
			return r.err
		}
		d.frag.Ops = d.ops
		if err := f(&d.frag); err != nil {
			return err
		}
	}
	return r.err
}
