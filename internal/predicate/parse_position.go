package predicate

import (
	"fmt"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// unsupported names a construct that the grammar knows and the where language does not.
func (b *builder) unsupported(n *pg_query.Node) *Error {
	err := &Error{Pos: b.position(n)}
	switch n := n.GetNode().(type) {
	case *pg_query.Node_SqlvalueFunction:
		err.Message = "functions of the current time or user are not supported yet, because their value changes without any row changing"
		err.Hint = asConstant
	case *pg_query.Node_RowExpr:
		err.Message = "a row is supported only where it is compared with rows"
		err.Hint = "write (a, b) = (1, 2) or (a, b) IN ((1, 2), (3, 4))"
	case nil:
		err.Message = "this expression is not supported"
	default:
		name := strings.TrimPrefix(fmt.Sprintf("%T", n), "*pg_query.Node_")
		err.Message = name + " is not supported in this context"
	}
	return err
}

func lastName(names []*pg_query.Node) string {
	if len(names) == 0 {
		return ""
	}
	return names[len(names)-1].GetString_().GetSval()
}

// position finds the place of a node: the grammar's location of it, else of its first part that has one.
func (b *builder) position(n *pg_query.Node) int {
	if n == nil {
		return 0
	}
	return b.at(location(n.ProtoReflect(), 0))
}

func location(m protoreflect.Message, depth int) int32 {
	const deep = 16 // a place near enough; the search must not cost more than the clause
	if depth > deep {
		return -1
	}
	found := int32(-1)
	if f := m.Descriptor().Fields().ByName("location"); f != nil && f.Kind() == protoreflect.Int32Kind {
		if found = int32(m.Get(f).Int()); found > 0 {
			return found
		}
	}
	parts(m, func(part protoreflect.Message) bool {
		found = location(part, depth+1)
		return found <= 0
	})
	return found
}

// parts calls f with the messages right below m, until f returns false. Their order is always the same, so that an error
// names the same place each time; that of protoreflect's Range is not.
func parts(m protoreflect.Message, f func(protoreflect.Message) bool) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if field.Kind() != protoreflect.MessageKind || !m.Has(field) {
			continue
		}
		if !field.IsList() {
			if !f(m.Get(field).Message()) {
				return
			}
			continue
		}
		for list, j := m.Get(field).List(), 0; j < list.Len(); j++ {
			if !f(list.Get(j).Message()) {
				return
			}
		}
	}
}
