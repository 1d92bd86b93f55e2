package jsonpath

import (
	"bytes"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

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
