package predicate

import (
	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Tables names the tables that a clause's subqueries select from, as schema and name, in the same
// order each time; the schema is empty where the clause has none. What it returns of a clause that
// does not compile may be of no use, but no table is missing. It fails if where is not one whole
// expression, which could reach around what is written before and behind it.
func Tables(where string) (tables [][2]string, err error) {
	if err := checkSize(where, nil); err != nil {
		return nil, err
	}
	tree, wrong := parse(where)
	if wrong != nil {
		return nil, wrong
	}
	err = protorange.Options{Stable: true}.Range(tree.ProtoReflect(), func(p protopath.Values) error {
		if m, ok := p.Index(-1).Value.Interface().(protoreflect.Message); ok {
			if t, ok := m.Interface().(*pg_query.RangeVar); ok {
				tables = append(tables, [2]string{t.GetSchemaname(), t.GetRelname()})
			}
		}
		return nil
	}, nil)
	return tables, err
}
