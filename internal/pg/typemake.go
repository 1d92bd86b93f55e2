package pg

import (
	"slices"
	"strconv"
)

// typeRows are the types that are not built in, by oid.
type typeRows map[uint32]*typeRow

// baseOf is the type that is left of a domain, and of one over domains, without what they restrict; 0 of other types.
// composite says whether it has attributes.
func (types typeRows) baseOf(oid uint32) (base uint32, composite bool) {
	y := types[oid]
	for range len(types) + 1 { // no domain is over itself
		if y == nil || y.Base == 0 {
			break
		}
		base = y.Base
		y = types[base]
	}
	return base, y != nil && y.Composite
}

// makeOf names how a type is made, with all the types that it is made of: what its values look
// like as text depends on it. Any change of a label or an attribute changes it, also one that is undone.
func (types typeRows) makeOf(oid uint32) string {
	seen := map[uint32]bool{}
	var visit func(uint32)
	visit = func(oid uint32) {
		if y := types[oid]; y != nil && !seen[oid] {
			seen[oid] = true
			for _, part := range y.MadeOf {
				visit(part)
			}
		}
	}
	visit(oid)
	var all []uint32
	for oid := range seen {
		all = append(all, oid)
	}
	slices.Sort(all)
	d := newDigest()
	for _, oid := range all {
		y := types[oid]
		d.write(strconv.FormatUint(uint64(oid), 10), y.Name)
		for _, part := range y.MadeOf {
			d.write(strconv.FormatUint(uint64(part), 10))
		}
		d.write(y.Attributes...)
		d.write(y.Written...)
		d.write(y.Labels...)
	}
	return d.String()
}
