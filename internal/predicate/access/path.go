package access

import (
	"slices"
	"strings"
)

// Path says where the rows that match a clause can be found: every matching row is covered by it, and it may cover
// others. An index that follows it therefore offers each row to the clauses that may match, and Match decides.
//
// It is a tree: All needs one of its arguments to be followed, whichever the index likes best, since a matching row is
// covered by each; Any needs all of them, since it is covered by one. Neither holds one of its own form, None, or Scan.
type Path struct {
	Form Form
	Args []Path // of All and Any, at least two

	Key       Key      // of Keys and Range
	Values    []string // of Keys: the keys, without repeats, at least one
	Low, High Bound    // of Range: at least one of them is set

	Set int   // of Member: which of the clause's value sets
	By  []Key // of Member: what the set's values are compared with
}

// Form is what a Path is.
type Form uint8

const (
	// Scan covers every row: the clause has to be asked about each.
	Scan Form = iota
	// None covers no row: the clause is never true.
	None
	// Keys covers the rows of whose keys one is in Values.
	Keys
	// Range covers the rows of whose keys one is between Low and High, in the order of bytes.
	Range
	// Member covers the rows whose keys are, together, a member of a set that changes; see MemberOf.
	Member
	// All covers the rows that all arguments cover.
	All
	// Any covers the rows that an argument covers.
	Any
)

// Bound is an end of a range of keys.
type Bound struct {
	Set       bool // else the range has no end on this side
	Exclusive bool // Value itself is outside
	Value     string
}

// MemberOf is the path of a clause that says that columns, read by the keys, are in a value set. The set is numbered
// by the one who keeps it.
func MemberOf(set int, by ...Key) Path { return Path{Form: Member, Set: set, By: by} }

// AnyOf joins paths of which one covers each row.
func AnyOf(args ...Path) Path {
	var flat []Path
	for _, a := range args {
		switch a.Form {
		case Scan:
			return a
		case None:
		case Any:
			flat = append(flat, a.Args...)
		default:
			flat = append(flat, a)
		}
	}
	out := flat[:0:0]
	for _, a := range flat {
		if i := slices.IndexFunc(out, func(o Path) bool { return a.Form == Keys && o.Form == Keys && o.Key == a.Key }); i >= 0 {
			out[i].Values = distinct(append(slices.Clip(out[i].Values), a.Values...))
			continue
		}
		out = append(out, a)
	}
	switch len(out) {
	case 0:
		return Path{Form: None}
	case 1:
		return out[0]
	}
	return Path{Form: Any, Args: out}
}

// AllOf joins paths that each cover every row. Ranges of one key become their intersection.
func AllOf(args ...Path) Path {
	var flat []Path
	for _, a := range args {
		switch a.Form {
		case None:
			return a
		case Scan:
		case All:
			flat = append(flat, a.Args...)
		default:
			flat = append(flat, a)
		}
	}
	out := flat[:0:0]
	for _, a := range flat {
		i := slices.IndexFunc(out, func(o Path) bool { return a.Form == Range && o.Form == Range && o.Key == a.Key })
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
			return Path{Form: None}
		}
	}
	switch len(out) {
	case 0:
		return Path{Form: Scan}
	case 1:
		return out[0]
	}
	return Path{Form: All, Args: out}
}

func (a *Path) empty() bool {
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

// KeysOf covers the rows that have one of some keys, of which there is at least one.
func KeysOf(k Key, values ...string) Path {
	return Path{Form: Keys, Key: k, Values: distinct(values)}
}
