// Package jsonpath asks jsonb documents with paths of SQL/JSON, as the operators @? and @@ do. It takes the part of
// Postgres' path language that raises no errors and takes time that grows with the document only: lax mode, members,
// elements, filters that compare with constants. Everything else is refused with its place in the path.
//
// Documents are texts as Postgres prints jsonb. The rules are those of Postgres 14 to 18 (jsonpath_exec.c): in lax mode
// an array before a member or a filter stands for its elements, anything before a subscript for an array of itself, and
// what is not there for nothing.
package jsonpath

import (
	"bytes"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// Truth is what a predicate comes to.
type Truth int8

// The three truths.
const (
	No Truth = iota
	Unknown
	Yes
)

func truthOf(b bool) Truth {
	if b {
		return Yes
	}
	return No
}

// Path is a compiled path or predicate. It is immutable and safe for concurrent use.
type Path struct {
	steps steps     // of a path
	test  condition // of a predicate
	text  string

	size     int // accessors and conditions
	compared int // conditions that compare
}

// Exists is @?: whether a path leads to anything in a document.
func (p *Path) Exists(document []byte) bool { return p.steps.any(document) }

// Test is @@: what a predicate comes to for a document.
func (p *Path) Test(document []byte) Truth { return p.test.eval(document) }

// String is the path in a form that reads as the same path, also in Postgres.
func (p *Path) String() string { return p.text }

// Steps is what asking a document of so many bytes takes: each part of the path goes through all of it at most.
func (p *Path) Steps(document float64) float64 {
	const (
		fixed       = 50 // of a part
		perByte     = 10 // of a part; an element has three bytes at least
		perCompared = 35 // of a condition, for each byte
	)
	return float64(p.size)*(fixed+perByte*document) + float64(p.compared)*perCompared*document
}

type stepKind uint8

const (
	toMember   stepKind = iota // .key
	toMembers                  // .*
	toElement                  // [0, 2 to last]
	toElements                 // [*]
	through                    // ?(…)
)

// step is an accessor, which leads from one item to any number of them.
type step struct {
	kind   stepKind
	key    string // as a string in JSON
	places []places
	filter condition
}

type steps []step

// any reports whether the steps lead to anything.
func (s steps) any(item []byte) bool {
	return !s.walk(item, true, func([]byte) bool { return false })
}

// walk visits what the steps lead to until visit returns false; then so does walk. unwrap is whether an array stands for its
// elements before the first step: not if it is itself an element of one that did.
func (s steps) walk(item []byte, unwrap bool, visit func([]byte) bool) bool {
	if len(s) == 0 {
		return visit(item)
	}
	first, rest, on := &s[0], s[1:], true
	kind := value.JSONKind(item)
	if kind == '[' && unwrap && (first.kind == toMember || first.kind == toMembers || first.kind == through) {
		value.JSONItems(item, func(_, v []byte) bool {
			on = s.walk(v, false, visit)
			return on
		})
		return on
	}
	switch first.kind {
	case toMember:
		if kind != '{' {
			return true
		}
		value.JSONItems(item, func(key, v []byte) bool {
			if string(key) != first.key {
				return true
			}
			on = rest.walk(v, true, visit)
			return false
		})
	case toMembers:
		if kind != '{' {
			return true
		}
		value.JSONItems(item, func(_, v []byte) bool {
			on = rest.walk(v, true, visit)
			return on
		})
	case toElements:
		if kind != '[' {
			return rest.walk(item, true, visit)
		}
		value.JSONItems(item, func(_, v []byte) bool {
			on = rest.walk(v, true, visit)
			return on
		})
	case toElement:
		return first.element(item, func(v []byte) bool { return rest.walk(v, true, visit) })
	case through:
		if first.filter.eval(item) == Yes {
			return rest.walk(item, true, visit)
		}
	}
	return on
}

// places are those of elements in an array, from the first to the last. from and to are counted from the end if they are
// negative: the last one is -1.
type places struct{ from, to int }

func (p places) has(i, size int) bool {
	from, to := p.from, p.to
	if from < 0 {
		from += size
	}
	if to < 0 {
		to += size
	}
	return i >= from && i <= to
}

// element visits the elements at the places of a step, each once: how often one is found matters to nobody.
func (s *step) element(item []byte, visit func([]byte) bool) (on bool) {
	on = true
	has := func(i, size int) bool {
		for _, p := range s.places {
			if p.has(i, size) {
				return true
			}
		}
		return false
	}
	if value.JSONKind(item) != '[' { // an array of itself
		return !has(0, 1) || visit(item)
	}
	size := 0
	value.JSONItems(item, func(_, _ []byte) bool { size++; return true })
	i := 0
	value.JSONItems(item, func(_, v []byte) bool {
		if has(i, size) {
			on = visit(v)
		}
		i++
		return on
	})
	return on
}

// condition is a predicate about an item, which a path in it begins at.
type condition interface {
	eval(item []byte) Truth
}

type (
	allOf  []condition
	anyOf  []condition
	negate struct{ arg condition }
	// unknown is (…) is unknown.
	unknown struct{ arg condition }
	exists  struct{ path steps }
	// compare holds if what the path leads to, or one of the elements of that, compares so with a constant.
	compare struct {
		path    steps
		op      string
		literal []byte // a scalar in JSON
		text    []byte // of a string
	}
	// startsWith is compare for the beginning of a string; literal is without its last quote.
	startsWith struct {
		path    steps
		literal []byte
	}
)

func (c allOf) eval(item []byte) Truth {
	out := Yes
	for _, arg := range c {
		if out = min(out, arg.eval(item)); out == No {
			break
		}
	}
	return out
}

func (c anyOf) eval(item []byte) Truth {
	out := No
	for _, arg := range c {
		if out = max(out, arg.eval(item)); out == Yes {
			break
		}
	}
	return out
}

func (c negate) eval(item []byte) Truth  { return Yes - c.arg.eval(item) }
func (c unknown) eval(item []byte) Truth { return truthOf(c.arg.eval(item) == Unknown) }
func (c exists) eval(item []byte) Truth  { return truthOf(c.path.any(item)) }

func newCompare(path steps, op, literal string) *compare {
	c := &compare{path: path, op: op, literal: []byte(literal)}
	if value.JSONKind(c.literal) == '"' {
		c.text = value.UnquoteJSON(c.literal)
	}
	return c
}

func (c *compare) eval(item []byte) Truth { return c.path.find(item, c.one) }

func (c *startsWith) eval(item []byte) Truth {
	return c.path.find(item, func(v []byte) Truth {
		if value.JSONKind(v) != '"' {
			return Unknown
		}
		return truthOf(bytes.HasPrefix(v, c.literal))
	})
}

// find is Yes if that is so for anything that the steps lead to, or an element of it, and else the most that anything gives.
func (s steps) find(item []byte, test func([]byte) Truth) Truth {
	out := No
	visit := func(v []byte) bool {
		out = max(out, test(v))
		return out != Yes
	}
	s.walk(item, true, func(v []byte) bool {
		if value.JSONKind(v) != '[' {
			return visit(v)
		}
		value.JSONItems(v, func(_, e []byte) bool { return visit(e) })
		return out != Yes
	})
	return out
}

// one compares one item.
func (c *compare) one(v []byte) Truth {
	kind, other := value.JSONKind(v), value.JSONKind(c.literal)
	if typeOf(kind) != typeOf(other) {
		if kind == 'n' || other == 'n' {
			return truthOf(c.op == "!=")
		}
		return Unknown
	}
	switch kind {
	case 'n':
		return c.holds(0)
	case 't', 'f':
		return c.holds(int(kind) - int(other))
	case '0':
		return c.holds(value.CompareJSONNumbers(v, c.literal))
	}
	if c.op == "==" || c.op == "!=" { // one string is written in one way
		return truthOf(bytes.Equal(v, c.literal) == (c.op == "=="))
	}
	return c.holds(bytes.Compare(value.UnquoteJSON(v), c.text))
}

// typeOf makes one type of true and false.
func typeOf(kind byte) byte {
	if kind == 'f' {
		return 't'
	}
	return kind
}

func (c *compare) holds(order int) Truth {
	switch c.op {
	case "==":
		return truthOf(order == 0)
	case "!=":
		return truthOf(order != 0)
	case "<":
		return truthOf(order < 0)
	case "<=":
		return truthOf(order <= 0)
	case ">":
		return truthOf(order > 0)
	default: // >=
		return truthOf(order >= 0)
	}
}
