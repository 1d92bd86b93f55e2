package predicate

import (
	"fmt"
	"strings"

	"github.com/shapebus/shapebus/internal/valueset"
)

// TouchSQL returns a condition over the outer table's columns, which an index can serve: the left side equals one of
// these values, given as the keys of a Set. Keys with a NULL may be among them but add nothing, since NULL equals
// nothing: when such a key comes or goes, every row is concerned and there is no condition to ask by.
func (q *Subquery) TouchSQL(keys []string) (string, error) {
	arrays := make([]strings.Builder, len(q.left))
	for _, key := range keys {
		cells, err := valueset.Components(key)
		if err != nil || len(cells) != len(q.left) {
			return "", fmt.Errorf("%q is no value of %s: %w", key, q.sql, valueset.ErrKey)
		}
		if valueset.HasNull(key) {
			continue
		}
		for i, c := range cells {
			appendElement(&arrays[i], string(c))
		}
	}
	if arrays[0].Len() == 0 {
		return "false", nil
	}
	var out printer
	// Each column by itself is what an index serves, even between other conditions of an OR.
	columns, selected := make([]string, len(q.left)), make([]string, len(q.left))
	for i, c := range q.left {
		array := quoteLiteral("{"+arrays[i].String()+"}") + "::" + c.k.String() + "[]"
		name := quoteIdent(c.name)
		if i > 0 {
			out.WriteString(" AND ")
		}
		out.WriteString(name + " = ANY(" + array + ")")
		columns[i] = name
		if c.nonDeterministic {
			// What the column's own collation finds equal, narrowed to what is.
			columns[i] += byteOrder
			out.WriteString(" AND " + columns[i] + " = ANY(" + array + ")")
		}
		selected[i] = array
	}
	if len(q.left) > 1 {
		out.WriteString(" AND (" + strings.Join(columns, ", ") + ") IN (SELECT * FROM unnest(" + strings.Join(selected, ", ") + "))")
	}
	return "(" + out.String() + ")", nil
}

// appendElement appends to the text of an array. Every element is quoted: NULL and the empty text are texts like others.
func appendElement(array *strings.Builder, text string) {
	if array.Len() > 0 {
		array.WriteByte(',')
	}
	array.WriteByte('"')
	for i := range len(text) {
		if text[i] == '"' || text[i] == '\\' {
			array.WriteByte('\\')
		}
		array.WriteByte(text[i])
	}
	array.WriteByte('"')
}
