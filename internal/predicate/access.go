package predicate

import (
	"slices"
	"strings"
)

// Access says where the rows that match a clause can be found: every matching row is covered by it, and it may cover
// others. An index that follows it therefore offers each row to the clauses that may match, and Match decides.
//
// It is a tree: AccessAll needs one of its arguments to be followed, whichever the index likes best, since a matching row is covered by
// each; AccessAny needs all of them, since it is covered by one. Neither holds one of its own form, AccessNone, or
// AccessScan.
type Access struct {
	Form AccessForm
	Args []Access // of AccessAll and AccessAny, at least two

	Key       Key      // of AccessKeys and AccessRange
	Values    []string // of AccessKeys: the keys, without repeats, at least one
	Low, High Bound    // of AccessRange: at least one of them is set

	Set int   // of AccessMember: which of the clause's value sets
	By  []Key // of AccessMember: what the set's values are compared with
}

// AccessForm is what an Access is.
type AccessForm uint8

const (
	// AccessScan covers every row: the clause has to be asked about each.
	AccessScan AccessForm = iota
	// AccessNone covers no row: the clause is never true.
	AccessNone
	// AccessKeys covers the rows of whose keys one is in Values.
	AccessKeys
	// AccessRange covers the rows of whose keys one is between Low and High, in the order of bytes.
	AccessRange
	// AccessMember covers the rows whose keys are, together, a member of a set that changes; see Member.
	AccessMember
	// AccessAll covers the rows that all arguments cover.
	AccessAll
	// AccessAny covers the rows that an argument covers.
	AccessAny
)

// Bound is an end of a range of keys.
type Bound struct {
	Set       bool // else the range has no end on this side
	Exclusive bool // Value itself is outside
	Value     string
}

// Access returns how the clause's rows can be found.
func (p *Predicate) Access() Access { return accessOf(p.root, isTrue) }

// Member is the access of a clause that says that columns, read by the keys, are in a value set. The set is numbered
// by the one who keeps it.
func Member(set int, by ...Key) Access { return Access{Form: AccessMember, Set: set, By: by} }

// Any joins accesses of which one covers each row.
func Any(args ...Access) Access {
	var flat []Access
	for _, a := range args {
		switch a.Form {
		case AccessScan:
			return a
		case AccessNone:
		case AccessAny:
			flat = append(flat, a.Args...)
		default:
			flat = append(flat, a)
		}
	}
	out := flat[:0:0]
	for _, a := range flat {
		if i := slices.IndexFunc(out, func(o Access) bool { return a.Form == AccessKeys && o.Form == AccessKeys && o.Key == a.Key }); i >= 0 {
			out[i].Values = distinct(append(slices.Clip(out[i].Values), a.Values...))
			continue
		}
		out = append(out, a)
	}
	switch len(out) {
	case 0:
		return Access{Form: AccessNone}
	case 1:
		return out[0]
	}
	return Access{Form: AccessAny, Args: out}
}

// All joins accesses that each cover every row. Ranges of one key become their intersection.
func All(args ...Access) Access {
	var flat []Access
	for _, a := range args {
		switch a.Form {
		case AccessNone:
			return a
		case AccessScan:
		case AccessAll:
			flat = append(flat, a.Args...)
		default:
			flat = append(flat, a)
		}
	}
	out := flat[:0:0]
	for _, a := range flat {
		i := slices.IndexFunc(out, func(o Access) bool { return a.Form == AccessRange && o.Form == AccessRange && o.Key == a.Key })
		if i < 0 {
			out = append(out, a)
			continue
		}
		if a.Low.Set && (!out[i].Low.Set || CompareLow(a.Low, out[i].Low) > 0) {
			out[i].Low = a.Low
		}
		if a.High.Set && (!out[i].High.Set || CompareHigh(a.High, out[i].High) < 0) {
			out[i].High = a.High
		}
		if out[i].empty() {
			return Access{Form: AccessNone}
		}
	}
	switch len(out) {
	case 0:
		return Access{Form: AccessScan}
	case 1:
		return out[0]
	}
	return Access{Form: AccessAll, Args: out}
}

func (a *Access) empty() bool {
	return a.Low.Set && a.High.Set && (a.Low.Value > a.High.Value || a.Low.Value == a.High.Value && (a.Low.Exclusive || a.High.Exclusive))
}

// CompareLow orders bounds as the lower ends of ranges: by where the range begins.
func CompareLow(a, b Bound) int {
	if a.Set != b.Set {
		return order(b.Set, a.Set)
	}
	if a.Value != b.Value {
		return strings.Compare(a.Value, b.Value)
	}
	return order(b.Exclusive, a.Exclusive)
}

// CompareHigh orders bounds as the upper ends of ranges: by where the range ends.
func CompareHigh(a, b Bound) int {
	if a.Set != b.Set {
		return order(a.Set, b.Set)
	}
	if a.Value != b.Value {
		return strings.Compare(a.Value, b.Value)
	}
	return order(a.Exclusive, b.Exclusive)
}

// order is -1 if only the first is true, 1 if only the second is.
func order(less, greater bool) int {
	switch {
	case less == greater:
		return 0
	case less:
		return -1
	}
	return 1
}

func distinct(values []string) []string {
	slices.Sort(values)
	return slices.Compact(values)
}
