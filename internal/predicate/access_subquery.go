package predicate

import (
	"github.com/shapebus/shapebus/internal/predicate/access"
	"github.com/shapebus/shapebus/internal/predicate/value"
)

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

// KeyColumn is a column in MemberKeys: its place in its row, and its type.
type KeyColumn struct {
	Index   int
	TypeOID uint32
}

// MemberKeys returns the keys by which values of two columns, of different tables perhaps, are equal as outer = inner
// would have it. ok is false where Postgres has no such operator, or none that can be reproduced.
func MemberKeys(outer, inner KeyColumn) (outerKey, innerKey access.Key, ok bool) {
	o, okO := value.KindOfOID(outer.TypeOID)
	i, okI := value.KindOfOID(inner.TypeOID)
	if !okO || !okI {
		return access.Key{}, access.Key{}, false
	}
	plan, ok := planComparison(o, i)
	if !ok && (o != value.Bool || i != value.Bool) {
		return access.Key{}, access.Key{}, false
	}
	sameText := o.IsInt() && i.IsInt() || o.IsText() && i.IsText() || o == i
	if !o.HasUniqueText() || !i.HasUniqueText() || !sameText || plan.left.Trim || plan.right.Trim {
		return access.ValueKey(outer.Index, plan.left), access.ValueKey(inner.Index, plan.right), true
	}
	return access.TextKey(outer.Index), access.TextKey(inner.Index), true
}
