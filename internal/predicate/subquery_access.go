package predicate

import "github.com/shapebus/shapebus/internal/predicate/access"

// access of a subquery's test that must be TRUE is membership. That it is FALSE holds of almost every row.
func (n *memberNode) access(want truth) access.Path {
	outer, _, ok := n.subquery.MemberKeys()
	if want != isTrue || !ok {
		return access.Path{}
	}
	return access.MemberOf(n.number, outer...)
}

// MemberKeys returns the keys by which an index finds the rows whose left side is a value of the set: of the outer
// table's rows, and of the value's components in the order of Select. ok is false where there are none.
func (q *Subquery) MemberKeys() (outer, inner []access.Key, ok bool) {
	for i, c := range q.Columns {
		oid := q.typeOf(q.Select[i])
		o, in, ok := MemberKeys(KeyColumn{c, oid}, KeyColumn{i, oid})
		if !ok {
			return nil, nil, false
		}
		outer, inner = append(outer, o), append(inner, in)
	}
	return outer, inner, true
}

// typeOf is the type of a column of the inner table.
func (q *Subquery) typeOf(name string) uint32 {
	for i := range q.table.Columns {
		if q.table.Columns[i].Name == name {
			return q.table.Columns[i].TypeOID
		}
	}
	return 0
}
