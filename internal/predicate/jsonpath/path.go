// Package jsonpath asks jsonb documents with paths of SQL/JSON, as the operators @? and @@ do. It takes the part of
// Postgres' path language that raises no errors and takes time that grows with the document only: lax mode, members,
// elements, filters that compare with constants. Everything else is refused with its place in the path.
//
// Documents are texts as Postgres prints jsonb. The rules are those of Postgres 14 to 18 (jsonpath_exec.c): in lax mode
// an array before a member or a filter stands for its elements, anything before a subscript for an array of itself, and
// what is not there for nothing.
package jsonpath

import (
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
