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
		err.Message = "functions of the current time or user are not supported"
		err.Hint = "their value changes without any row changing"
	case *pg_query.Node_RowExpr:
		err.Message = "row comparisons are not supported"
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
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Kind() != protoreflect.MessageKind:
		case f.IsList():
			if v.List().Len() > 0 {
				found = location(v.List().Get(0).Message(), depth+1)
			}
		default:
			found = location(v.Message(), depth+1)
		}
		return found <= 0
	})
	return found
}
