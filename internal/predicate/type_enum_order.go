package predicate

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// maxOrderedLabels is how many labels an enum may have whose order a clause asks for: a label is looked for among
// them each time.
const maxOrderedLabels = 1000

// perLabel is what looking at one takes, in steps.
const perLabel = 2

// compare orders two labels as the catalog does.
func (e *enumType) compare(a, b *value.Datum) int {
	return cmp.Compare(e.place(a.Bytes), e.place(b.Bytes))
}

// place is that of a label among all; -1 for one that is not known, of which nobody should ask: see Unordered.
func (e *enumType) place(label []byte) int {
	return slices.IndexFunc(e.labels, func(l string) bool { return l == string(label) })
}

// scan is what comparing two labels takes, in steps.
func (e *enumType) scan() float64 { return look + 2*perLabel*float64(len(e.labels)) }

// orderEnum notes that the clause asks for the order of an enum's values.
func (b *builder) orderEnum(e *enumType, pos int, values ...scalar) *Error {
	if len(e.labels) > maxOrderedLabels {
		return &Error{
			Pos: pos, Message: fmt.Sprintf("enum %s has %d labels, the order of at most %d can be asked for", e.name, len(e.labels), maxOrderedLabels),
			Hint: "say which labels are meant: column IN ('a', 'b')",
		}
	}
	// The SQL has labels without a type, which take that of a column. Without one Postgres would order texts.
	if !typedTogether(values...) {
		return &Error{Pos: pos, Message: "the order of enum " + e.name + " is not supported among constants only", Hint: "compare a column with them"}
	}
	for _, v := range values {
		v.columns(func(i int) {
			if c := &b.table.Columns[i]; c.Enum != nil && c.TypeOID == e.oid && !slices.ContainsFunc(b.ordered, func(o orderedColumn) bool { return o.index == i }) {
				b.ordered = append(b.ordered, orderedColumn{index: i, name: c.Name, enum: e})
			}
		})
	}
	return nil
}

// typedTogether reports whether Postgres knows the type of an enum's values as they are printed beside one another: one has it,
// and the others are labels, which take it, or have it too.
func typedTogether(values ...scalar) bool {
	typed := false
	for _, v := range values {
		switch e := v.expr.(type) {
		case nil, *constExpr:
		case *columnExpr:
			typed = true
		default:
			if !typedTogether(choices(e)...) {
				return false
			}
			typed = true
		}
	}
	return typed
}

// choices are the values of which an expression is one.
func choices(e expr) []scalar {
	switch e := e.(type) {
	case *coalesceExpr:
		return e.args
	case *extremeExpr:
		return e.args
	case *caseExpr:
		return append(slices.Clone(e.then), e.otherwise)
	case *nullifExpr:
		return []scalar{e.left, e.right}
	}
	return nil
}

// compareLabels builds left op right.
func (b *builder) compareLabels(op operator, r relation, pos int) (node, *Error) {
	e := r.left.enum
	l, left := r.left.expr.(*constExpr)
	if r, right := r.right.expr.(*constExpr); left && right { // as SQL it would compare texts
		return &literalNode{truthOf(op.holds(e.compare(&l.value, &r.value)))}, nil
	}
	if op.isEquality() {
		return &compareExprNode{r, op}, nil
	}
	if err := b.orderEnum(e, pos, r.left, r.right); err != nil {
		return nil, err
	}
	r.compare, r.scan = e.compare, e.scan()
	return &compareExprNode{r, op}, nil
}

// extremeEnum builds GREATEST or LEAST of an enum's values.
func (b *builder) extremeEnum(least bool, args []scalar, pos int) (term, *Error) {
	e := args[0].enum
	if c, ok := extremeLabel(e, least, args); ok {
		return term{form: formConst, k: value.Enum, c: c, enum: e, pos: pos}, nil
	}
	if err := b.orderEnum(e, pos, args...); err != nil {
		return term{}, err
	}
	s := scalar{expr: &extremeExpr{least: least, args: args, compare: e.compare, scan: e.scan()}, k: value.Enum, enum: e}
	t := exprTerm(s, pos)
	t.k, t.enum = value.Enum, e
	return t, nil
}

// extremeLabel is GREATEST or LEAST of constants.
func extremeLabel(e *enumType, least bool, args []scalar) (best value.Constant, ok bool) {
	best = value.Constant{Kind: value.Enum, Null: true}
	for _, a := range args {
		c, ok := a.expr.(*constExpr)
		if !ok {
			return best, false
		}
		if c.c.Null {
			continue
		}
		if best.Null || (e.place([]byte(c.c.Text)) < e.place([]byte(best.Text))) == least {
			best = c.c
		}
	}
	return best, true
}

// orderedColumn is a column of an enum whose order the clause asks for.
type orderedColumn struct {
	index int
	name  string
	enum  *enumType
}

// ordering is what a clause asks of the order of enums.
type ordering struct{ columns []orderedColumn }

// orderingOf is nil for no columns.
func orderingOf(columns []orderedColumn) *ordering {
	if len(columns) == 0 {
		return nil
	}
	return &ordering{columns}
}

// Ordered reports whether the clause asks for the order of an enum's values, which it knows of the labels that the
// table had.
func (p *Predicate) Ordered() bool { return p.ordered != nil }

// Unordered finds a label in a row whose order the clause would have to know and does not: the label was added, or renamed, after
// the table was described. The clause must not be asked about such a row.
func (p *Predicate) Unordered(row [][]byte) (label, column string, found bool) {
	if p.ordered == nil {
		return "", "", false
	}
	for i := range p.ordered.columns {
		o := &p.ordered.columns[i]
		if text := cell(row, o.index); text != nil && o.enum.place(text) < 0 {
			return string(text), o.name, true
		}
	}
	return "", "", false
}
