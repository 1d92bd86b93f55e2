package predicate

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// standalone writes the clause of a subquery as one that stands alone, with the parameters that it uses. A parameter that
// had its type before the subquery began (typed has these) is cast to it there.
func (b *builder) standalone(where *pg_query.Node, typed []value.Kind, pos int) (string, []*string, *Error) {
	where = proto.CloneOf(where)
	var refs []*pg_query.Node
	paramRefs(where.ProtoReflect(), &refs)
	var numbers []int
	for _, n := range refs {
		numbers = append(numbers, int(n.GetParamRef().Number))
	}
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	for _, n := range refs {
		ref := n.GetParamRef()
		k := typed[ref.Number-1]
		i, _ := slices.BinarySearch(numbers, int(ref.Number))
		ref.Number = int32(i + 1)
		if k == value.Unknown || k == value.Enum { // an enum's label finds its type each time
			continue
		}
		name, err := typeNameOf(k)
		if err != nil {
			return "", nil, &Error{Pos: pos, Message: "the clause of the subquery cannot be written by itself: " + err.Error()}
		}
		n.Node = &pg_query.Node_TypeCast{TypeCast: &pg_query.TypeCast{Arg: &pg_query.Node{Node: n.Node}, TypeName: name}}
	}
	params := make([]*string, 0, len(numbers))
	for _, n := range numbers {
		params = append(params, b.params[n-1])
	}
	text, err := deparse(where)
	if err != nil {
		return "", nil, &Error{Pos: pos, Message: "the clause of the subquery cannot be written by itself: " + err.Error()}
	}
	return text, params, nil
}

// paramRefs collects the nodes below m that are parameters, and m if it is one.
func paramRefs(m protoreflect.Message, refs *[]*pg_query.Node) {
	if n, ok := m.Interface().(*pg_query.Node); ok && n.GetParamRef() != nil {
		*refs = append(*refs, n)
		return
	}
	parts(m, func(part protoreflect.Message) bool {
		paramRefs(part, refs)
		return true
	})
}

// asWritten reports whether a clause can stand alone as it is written: the table's alias exists only in its subquery, and
// EXISTS, = ANY and <> ALL may mean another table there. Where it cannot, the clause that Inner prints is the same.
func asWritten(m protoreflect.Message) bool {
	switch n := m.Interface().(type) {
	case *pg_query.SubLink:
		if n.SubLinkType == pg_query.SubLinkType_EXISTS_SUBLINK || len(n.OperName) > 0 {
			return false
		}
	case *pg_query.RangeVar:
		return n.Alias == nil
	}
	as := true
	parts(m, func(part protoreflect.Message) bool {
		as = asWritten(part)
		return as
	})
	return as
}

// typeNameOf is the grammar's own form of a type's name.
func typeNameOf(k value.Kind) (*pg_query.TypeName, error) {
	tree, err := pg_query.Parse("SELECT NULL::" + k.String())
	if err != nil {
		return nil, err
	}
	return tree.Stmts[0].Stmt.GetSelectStmt().TargetList[0].GetResTarget().Val.GetTypeCast().TypeName, nil
}

func deparse(where *pg_query.Node) (string, error) {
	statement, err := pg_query.Parse(prefix + "true")
	if err != nil {
		return "", err
	}
	statement.Stmts[0].Stmt.GetSelectStmt().WhereClause = where
	text, err := pg_query.Deparse(statement)
	return text[min(len(prefix), len(text)):], err
}

// checkStandalone compiles every subquery's clause alone, and refuses the whole when one does not come out as it went in:
// its shape would hold other rows than the outer clause means.
func checkStandalone(p *Predicate, l *lookup) *Error {
	for _, q := range p.Subqueries() {
		alone, err := compileOnce(q.Where, q.Params, q.table, l.again())
		switch {
		case err != nil:
			return &Error{Message: "a subquery's clause cannot be used by itself: " + err.Error()}
		case alone.Canonical() != q.Inner.Canonical():
			return &Error{
				Message: "a subquery's clause means something else by itself: " + value.QuoteShort(q.Where), Hint: "please report this clause",
			}
		}
		if err := checkStandalone(q.Inner, l); err != nil {
			return err
		}
	}
	return nil
}
