package predicate

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/shapebus/shapebus/internal/predicate/value"
	"github.com/shapebus/shapebus/internal/valueset"
)

// Touch gathers values for a condition over the outer table's columns, which an index can serve: the left side of a
// subquery's test equals one of them.
type Touch struct {
	q      *Subquery
	arrays []bytes.Buffer // by column: the elements of an array's text
}

// NewTouch returns a condition without values.
func (q *Subquery) NewTouch() *Touch { return &Touch{q: q, arrays: make([]bytes.Buffer, len(q.left))} }

// Add adds a value, given as the key of a Set. A key with a NULL adds nothing, since NULL equals nothing: when such a
// key comes or goes, every row is concerned and there is no condition to ask by.
func (t *Touch) Add(key []byte) error {
	parts := 0
	for rest := key; len(rest) > 0; parts++ {
		var err error
		if _, rest, err = valueset.Component(rest); err != nil {
			return t.refuse(key)
		}
	}
	if parts != len(t.arrays) {
		return t.refuse(key)
	}
	if valueset.HasNull(key) {
		return nil
	}
	for i, rest := 0, key; len(rest) > 0; i++ {
		var text []byte
		text, rest, _ = valueset.Component(rest) // as above
		appendElement(&t.arrays[i], text)
	}
	return nil
}

func (t *Touch) refuse(key []byte) error {
	return fmt.Errorf("%q is no value of %s: %w", key, t.q.sql, valueset.ErrKey)
}

// Bytes is how long the values are together, in the condition.
func (t *Touch) Bytes() (n int) {
	for i := range t.arrays {
		n += t.arrays[i].Len()
	}
	return n
}

// Reset removes all values and keeps the memory.
func (t *Touch) Reset() {
	for i := range t.arrays {
		t.arrays[i].Reset()
	}
}

// SQL returns the condition.
func (t *Touch) SQL() string {
	if t.Bytes() == 0 {
		return "false"
	}
	q := t.q
	var out strings.Builder
	out.WriteByte('(')
	// Each column by itself is what an index serves, even between other conditions of an OR.
	columns, selected := make([]string, len(q.left)), make([]string, len(q.left))
	for i, c := range q.left {
		literal := quoteLiteral("{" + t.arrays[i].String() + "}")
		array := literal + "::" + q.touched[i].String() + "[]"
		if c.k == value.Enum { // takes the column's type
			array = literal
		}
		out.Grow(len(array))
		name := quoteIdent(c.name)
		if i > 0 {
			out.WriteString(" AND ")
		}
		equalsAny(&out, name, array)
		columns[i] = name
		if c.k == value.Enum {
			columns[i], array = name+"::text", literal+"::text[]"
		}
		if c.nonDeterministic {
			// What the column's own collation finds equal, narrowed to what is.
			columns[i] += byteOrder
			out.WriteString(" AND ")
			equalsAny(&out, columns[i], array)
		}
		selected[i] = array
	}
	if len(q.left) > 1 {
		out.WriteString(" AND (" + strings.Join(columns, ", ") + ") IN (SELECT * FROM unnest(" + strings.Join(selected, ", ") + "))")
	}
	out.WriteByte(')')
	return out.String()
}

// equalsAny writes that a column equals an element of an array, which may be long.
func equalsAny(out *strings.Builder, column, array string) {
	for _, s := range []string{column, " = ANY(", array, ")"} {
		out.WriteString(s)
	}
}

// appendElement appends to the text of an array. Every element is quoted: NULL and the empty text are texts like others.
func appendElement(array *bytes.Buffer, text []byte) {
	if array.Len() > 0 {
		array.WriteByte(',')
	}
	array.WriteByte('"')
	for _, c := range text {
		if c == '"' || c == '\\' {
			array.WriteByte('\\')
		}
		array.WriteByte(c)
	}
	array.WriteByte('"')
}
