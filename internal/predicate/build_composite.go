package predicate

import "github.com/shapebus/shapebus/internal/predicate/value"

// compositeNull builds column IS [NOT] NULL of a composite type.
func (b *builder) compositeNull(c column, not bool) node {
	null := &compositeNullNode{column: c}
	if !not {
		return null
	}
	// A type without attributes has a value that is NULL and NOT NULL, whose text is that of one with an attribute that is NULL.
	return b.conjunction(&compositeNullNode{c, true}, &notNode{null})
}

// opaqueHint says what can be asked of columns that have no operators here.
func (b *builder) opaqueHint(left, right term) string {
	for _, t := range []term{left, right} {
		if t.form != formColumn {
			continue
		}
		c := &b.table.Columns[t.column.index]
		switch {
		case t.composite:
			return "columns of composite types can only be tested with IS NULL; compare its attributes in columns of their own"
		case c.isCitext():
			return "citext folds letters as the database's locale does; write lower(" + quoteIdent(c.Name) + "::text) = 'x', which folds ASCII letters, or " + quoteIdent(c.Name) + "::text = 'x'"
		case t.k == value.Quoted:
			return "columns of this type can only be tested with IS NULL, and cast to text; make it a column of jsonb"
		}
	}
	return "columns of this type can only be tested with IS NULL"
}
