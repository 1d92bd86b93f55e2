package wire

import "github.com/shapebus/shapebus/pkg/change"

// SegmentBuilder gathers rows into one message of a segment: the version,
// then one array per row. Not safe for concurrent use.
type SegmentBuilder struct {
	w writer
	n int
}

// NewSegmentBuilder returns an empty builder.
func NewSegmentBuilder() *SegmentBuilder { return &SegmentBuilder{} }

// Add appends a row, which is copied.
func (b *SegmentBuilder) Add(row change.Row) {
	if b.n == 0 {
		b.w.uint(Version)
	}
	b.n++
	b.w.row(row)
}

// Len is the size so far in bytes.
func (b *SegmentBuilder) Len() int { return len(b.w.b) }

// Rows is the number of rows so far.
func (b *SegmentBuilder) Rows() int { return b.n }

// Bytes returns the message, valid until the next Add or Reset.
func (b *SegmentBuilder) Bytes() []byte { return b.w.b }

// Reset empties the builder and keeps its memory.
func (b *SegmentBuilder) Reset() {
	b.w.reset()
	b.n = 0
}

// DecodeSegment calls f with each row of a segment's message. The row points
// into data and is reused for the next.
func DecodeSegment(data []byte, f func(change.Row) error) error {
	var rows values
	r := &reader{b: data}
	r.version()
	for r.more() {
		rows.reset()
		row := rows.row(r)
		if r.err != nil {
			return r.err
		}
		if err := f(row); err != nil {
			return err
		}
	}
	return r.err
}
