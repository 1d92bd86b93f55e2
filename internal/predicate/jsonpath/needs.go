package jsonpath

// Need is what an object has at its top if a path finds something in it: a key, and unless Literal is empty that scalar as its
// value, or an array. Both are as Postgres prints them in jsonb.
type Need struct{ Key, Literal string }

// Needs are alternatives of which every object that a path or a predicate is true of has one; none if nothing is known. Of
// arrays, which stand for their elements, they say nothing.
func (p *Path) Needs() []Need {
	if p.test != nil {
		return needsOf(p.test)
	}
	return p.steps.needs("")
}

// needs of steps that lead to something; unless literal is empty, to that or to an array.
func (s steps) needs(literal string) []Need {
	for i := range s {
		switch s[i].kind {
		case toElement, toElements: // the object itself
		case through:
			if n := needsOf(s[i].filter); n != nil {
				return n
			}
		case toMember:
			return []Need{{Key: s[i].key, Literal: s[i+1:].literal(literal)}}
		case toMembers:
			return nil
		}
	}
	return nil
}

// literal is what an item is, or has among its elements, if the steps lead from it to something, or to the last scalar if that
// is not empty. It is empty if nothing is known.
func (s steps) literal(last string) string {
	for i := range s {
		switch s[i].kind {
		case toElement, toElements:
		case through:
			if l := equals(s[i].filter); l != "" {
				return l
			}
		default:
			return ""
		}
	}
	return last
}

// equals is the scalar that a condition is only true of; empty if there is none.
func equals(c condition) string {
	switch c := c.(type) {
	case *compare:
		if c.op == "==" {
			return c.path.literal(string(c.literal))
		}
	case allOf:
		for _, arg := range c {
			if l := equals(arg); l != "" {
				return l
			}
		}
	}
	return ""
}

func needsOf(c condition) []Need {
	switch c := c.(type) {
	case *compare:
		if c.op == "==" {
			return c.path.needs(string(c.literal))
		}
		return c.path.needs("")
	case *startsWith:
		return c.path.needs("")
	case exists:
		return c.path.needs("")
	case allOf:
		var best []Need
		for _, arg := range c {
			if n := needsOf(arg); n != nil && (best == nil || best[0].Literal == "") {
				best = n
			}
		}
		return best
	case anyOf:
		var all []Need
		for _, arg := range c {
			n := needsOf(arg)
			if n == nil {
				return nil
			}
			all = append(all, n...)
		}
		return all
	}
	return nil
}
