package wire

import (
	"slices"

	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"github.com/shapebus/shapebus/pkg/change"
)

// values is the memory behind decoded rows. It grows to the largest message
// and is then reused.
type values struct{ all [][]byte }

// row reads a row, or nil. Rows stay valid when the memory grows: those
// handed out before keep the old array.
func (v *values) row(r *reader) change.Row {
	if r.nilNext() {
		return nil
	}
	n := r.array()
	switch {
	case r.err != nil:
		return nil
	case n == 0:
		return change.Row{} // a table may have no columns; nil would be no row at all
	}
	from := len(v.all)
	v.all = slices.Grow(v.all, n)[:from+n]
	row := v.all[from : from+n : from+n]
	b := r.b // in a local variable, because this loop is where readers spend their time
	for i := range row {
		if len(b) > 0 {
			c := b[0]
			if c == msgpcode.Nil {
				row[i], b = nil, b[1:]
				continue
			}
			if end := 1 + int(c&msgpcode.FixedStrMask); c&^msgpcode.FixedStrMask == msgpcode.FixedStrLow && end <= len(b) {
				row[i], b = b[1:end:end], b[end:]
				continue
			}
		}
		r.b = b
		if row[i] = r.value(); r.err != nil {
			return nil
		}
		b = r.b
	}
	r.b = b
	return row
}

// reset forgets the rows, and with them the message they point into.
func (v *values) reset() {
	clear(v.all)
	v.all = v.all[:0]
}

// names keeps the few strings that come again with every fragment, so that
// they are not allocated again.
type names map[string]string

// maxNames bounds what is kept when the names do not come again after all.
const maxNames = 1024

func (n *names) get(b []byte) string {
	if s, ok := (*n)[string(b)]; ok {
		return s
	}
	if *n == nil || len(*n) >= maxNames {
		*n = make(names)
	}
	s := string(b)
	(*n)[s] = s
	return s
}
