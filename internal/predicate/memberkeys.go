package predicate

import (
	"github.com/shapebus/shapebus/internal/predicate/access"
	"github.com/shapebus/shapebus/internal/predicate/value"
)

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
