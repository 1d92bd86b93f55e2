package predicate

import "bytes"

// compositeNullNode is column IS [NOT] NULL of a composite type: NULL is NULL, and so is a value of which all attributes are;
// a value is NOT NULL only if none of them is. Most values are neither.
type compositeNullNode struct {
	column column
	not    bool
}

func (n *compositeNullNode) eval(row [][]byte) truth {
	text := cell(row, n.column.index)
	if text == nil {
		return truthOf(!n.not)
	}
	null, value := attributes(text)
	if n.not {
		return truthOf(!null)
	}
	return truthOf(!value)
}

// attributes reports whether there are attributes that are NULL, and others, in Postgres' text: (1,,"a b"). Nothing between two
// commas is NULL; quotes stand around what is empty or has signs of its own, and a quote among them is doubled.
func attributes(text []byte) (null, value bool) {
	fields := bytes.TrimSuffix(bytes.TrimPrefix(text, []byte("(")), []byte(")"))
	quoted, begin := false, 0
	for i := 0; i <= len(fields); i++ {
		switch {
		case i < len(fields) && fields[i] == '"':
			quoted = !quoted
		case i == len(fields) || fields[i] == ',' && !quoted:
			null, value = null || i == begin, value || i > begin
			begin = i + 1
		}
	}
	return null, value
}

func (n *compositeNullNode) columns(add func(int)) { add(n.column.index) }
