package reconcile_test

import (
	"bytes"
	"fmt"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/internal/valueset"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
)

// truth is SQL's three-valued logic, ordered.
type truth int

const (
	no truth = iota
	unknown
	yes
)

// Columns of the outer table.
const (
	colKey = iota
	colA
	colB
	colFlag
	outerColumns
)

// expr is a where clause: a leaf looks at the flag or at a set.
type expr struct {
	op          string // "and", "or", "not", "flag", "in"
	left, right *expr
	sub         int   // of "in": which subquery
	columns     []int // of "in": what is looked up
}

func (e *expr) String() string {
	switch e.op {
	case "not":
		return fmt.Sprintf("NOT (%v)", e.left)
	case "flag":
		return "flag"
	case "in":
		return fmt.Sprintf("%v IN #%d", e.columns, e.sub)
	}
	return fmt.Sprintf("(%v %s %v)", e.left, e.op, e.right)
}

func (e *expr) eval(row change.Row, in func(*expr) truth) truth {
	switch e.op {
	case "and":
		return min(e.left.eval(row, in), e.right.eval(row, in))
	case "or":
		return max(e.left.eval(row, in), e.right.eval(row, in))
	case "not":
		return yes - e.left.eval(row, in)
	case "in":
		return in(e)
	}
	switch {
	case row[colFlag] == nil:
		return unknown
	case string(row[colFlag]) == "t":
		return yes
	}
	return no
}

// clause evaluates as a consumer does, by looking up keys.
type clause struct {
	root *expr
	subs []*expr // by subquery
}

func (c *clause) Match(row change.Row, sets []reconcile.Members) bool {
	return c.root.eval(row, func(e *expr) truth { return member(sets[e.sub], pick(row, e.columns)) }) == yes
}

func (c *clause) Key(i int, key []byte, row change.Row) []byte {
	for _, v := range pick(row, c.subs[i].columns) {
		key = valueset.AppendComponent(key, v)
	}
	return key
}

func pick(row change.Row, columns []int) [][]byte {
	var out [][]byte
	for _, i := range columns {
		out = append(out, row[i])
	}
	return out
}

func keyOf(value [][]byte) string {
	var key []byte
	for _, v := range value {
		key = valueset.AppendComponent(key, v)
	}
	return string(key)
}

func member(set reconcile.Members, value [][]byte) truth {
	key := keyOf(value)
	if !valueset.HasNull(key) && set.Has([]byte(key)) {
		return yes
	}
	result := no
	set.Each(func(k []byte) bool {
		parts, err := valueset.Components(k)
		if err != nil {
			panic(err)
		}
		if equal(value, parts) == unknown {
			result = unknown
		}
		return result == no
	})
	return result
}

// memberOf is SQL's definition: value = v1 OR value = v2 OR ….
func memberOf(values [][][]byte, value [][]byte) truth {
	result := no
	for _, v := range values {
		result = max(result, equal(v, value))
	}
	return result
}

func equal(a, b [][]byte) truth {
	result := yes
	for i := range a {
		switch {
		case a[i] == nil || b[i] == nil:
			result = min(result, unknown)
		case !bytes.Equal(a[i], b[i]):
			result = no
		}
	}
	return result
}

// Value sets: 0 and 1 hold single values, 2 pairs.
const (
	sets    = 3
	pairSet = 2
)

// newShape draws a shape whose clause has at least one subquery, each on one of the first n sets.
func newShape(t *rapid.T, n int) (*reconcile.Shape, *clause) {
	c := &clause{}
	s := &reconcile.Shape{Clause: c, Key: []int{colKey}, Columns: []int{colKey, colA, colB, colFlag}}
	if rapid.Bool().Draw(t, "narrow") {
		s.Columns = []int{colKey, colFlag}
	}
	in := func(positive bool) *expr {
		e := &expr{op: "in", sub: len(c.subs)}
		set := rapid.IntRange(0, n-1).Draw(t, "set")
		if set == pairSet {
			e.columns = []int{colA, colB}
		} else {
			e.columns = []int{rapid.IntRange(colA, colB).Draw(t, "column")}
		}
		c.subs = append(c.subs, e)
		s.Subqueries = append(s.Subqueries, reconcile.Subquery{Set: set, Monotone: positive, Tuple: set == pairSet})
		return e
	}
	var grow func(depth int, positive bool) *expr
	grow = func(depth int, positive bool) *expr {
		switch n := rapid.IntRange(0, 5+2*depth).Draw(t, "node"); n {
		case 0, 1, 2, 3, 4:
			return in(positive)
		case 5:
			return &expr{op: "flag"}
		case 6:
			return &expr{op: "not", left: grow(depth-1, !positive)}
		default:
			op := []string{"and", "or"}[n%2]
			return &expr{op: op, left: grow(depth-1, positive), right: grow(depth-1, positive)}
		}
	}
	c.root = grow(3, true)
	if len(c.subs) == 0 {
		c.root = &expr{op: "or", left: c.root, right: &expr{op: "not", left: in(false)}}
	}
	return s, c
}
