package jsonpath

import (
	"fmt"
	"slices"
	"strings"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// filter reads the predicate behind a question mark.
func (p *parser) filter(depth int) (step, error) {
	if !p.accept("(") {
		return step{}, p.unexpected()
	}
	p.out.WriteString("?(")
	c, err := p.alternatives('@', depth+1)
	if err != nil {
		return step{}, err
	}
	if !p.accept(")") {
		return step{}, p.unexpected()
	}
	p.out.WriteByte(')')
	return step{kind: through, filter: c}, nil
}

// alternatives reads conditions that || joins. Paths in them begin with root.
func (p *parser) alternatives(root byte, depth int) (condition, error) {
	if depth > maxDepth {
		return nil, p.refuse("conditions are nested too deeply", "")
	}
	return p.joined("||", func() (condition, error) {
		return p.joined("&&", func() (condition, error) { return p.condition(root, depth) })
	})
}

func (p *parser) joined(by string, read func() (condition, error)) (condition, error) {
	var args []condition
	for {
		c, err := read()
		if err != nil {
			return nil, err
		}
		if args = append(args, c); !p.accept(by) {
			break
		}
		p.out.WriteString(" " + by + " ")
	}
	switch {
	case len(args) == 1:
		return args[0], nil
	case by == "&&":
		return allOf(args), nil
	}
	return anyOf(args), nil
}

// condition reads one condition.
func (p *parser) condition(root byte, depth int) (condition, error) {
	if err := p.count(); err != nil {
		return nil, err
	}
	p.blanks()
	switch rest := p.s[p.i:]; {
	case strings.HasPrefix(rest, "!"):
		p.i++
		p.out.WriteByte('!')
		if p.peek() == "" && !strings.HasPrefix(p.s[p.i:], "(") {
			return nil, p.refuse("behind ! stands a condition in parentheses, or exists", "write !(…)")
		}
		c, err := p.enclosed(root, depth)
		return negate{c}, err
	case strings.HasPrefix(rest, "("):
		c, err := p.enclosed(root, depth)
		if err != nil || !p.word("is") {
			return c, err
		}
		if !p.word("unknown") {
			return nil, p.refuse("behind is stands unknown", "write (…) is unknown")
		}
		p.out.WriteString(" is unknown")
		return unknown{c}, nil
	case p.peek() == "exists":
		return p.enclosed(root, depth)
	}
	return p.comparison(root, depth)
}

// enclosed reads a condition in parentheses, or exists.
func (p *parser) enclosed(root byte, depth int) (condition, error) {
	existence := p.word("exists")
	if !p.accept("(") {
		return nil, p.unexpected()
	}
	var c condition
	if existence {
		p.out.WriteString("exists(")
		path, err := p.path(root, depth+1)
		if err != nil {
			return nil, err
		}
		c = exists{path}
	} else {
		p.out.WriteByte('(')
		var err error
		if c, err = p.alternatives(root, depth+1); err != nil {
			return nil, err
		}
	}
	if !p.accept(")") {
		return nil, p.unexpected()
	}
	p.out.WriteByte(')')
	return c, nil
}

// mirrored are the comparisons with their sides exchanged.
var mirrored = map[string]string{"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

// operator takes a comparison; "" if there is none.
func (p *parser) operator() string {
	for _, op := range []string{"==", "!=", "<>", "<=", "<", ">=", ">"} {
		if p.accept(op) {
			if op == "<>" {
				return "!="
			}
			return op
		}
	}
	return ""
}

// comparison reads a path and what is said of it. It is written with the path on the left.
func (p *parser) comparison(root byte, depth int) (condition, error) {
	p.compared++
	p.blanks()
	if p.i < len(p.s) && p.s[p.i] != '$' && p.s[p.i] != '@' {
		literal, err := p.literal()
		if err != nil {
			return nil, err
		}
		op := p.operator()
		if op == "" {
			return nil, p.unexpected()
		}
		path, err := p.path(root, depth)
		if err != nil {
			return nil, err
		}
		op = mirrored[op]
		p.out.WriteString(" " + op + " " + literal)
		return newCompare(path, op, literal), nil
	}
	path, err := p.path(root, depth)
	if err != nil {
		return nil, err
	}
	op := p.operator()
	switch {
	case op == "" && p.word("starts"):
		if !p.word("with") {
			return nil, p.refuse("behind starts stands with", "")
		}
		if p.blanks(); !strings.HasPrefix(p.s[p.i:], `"`) {
			return nil, p.refuse("starts with compares with a string only", "")
		}
		literal, err := p.quoted()
		p.out.WriteString(" starts with " + literal)
		return &startsWith{path, []byte(strings.TrimSuffix(literal, `"`))}, err
	case op == "":
		if p.blanks(); p.i == len(p.s) || slices.Contains([]byte(")&|"), p.s[p.i]) {
			return nil, p.refuse("a path alone is no condition", "write path == true, or exists(path)")
		}
		return nil, p.unexpected()
	}
	if p.blanks(); p.i < len(p.s) && (p.s[p.i] == '$' || p.s[p.i] == '@') {
		return nil, p.refuse("two paths cannot be compared: each item of one would be compared with each of the other", "compare a path with a constant")
	}
	literal, err := p.literal()
	if err != nil {
		return nil, err
	}
	p.out.WriteString(" " + op + " " + literal)
	return newCompare(path, op, literal), nil
}

// literal reads a scalar, and returns it as Postgres prints it in jsonb.
func (p *parser) literal() (string, error) {
	p.blanks()
	if strings.HasPrefix(p.s[p.i:], `"`) {
		return p.quoted()
	}
	for _, w := range []string{"true", "false", "null"} {
		if p.word(w) {
			return w, nil
		}
	}
	sign := ""
	if p.accept("-") {
		sign = "-"
	}
	p.blanks()
	end := p.i
	for end < len(p.s) && (isWord(p.s[end]) || p.s[end] == '.' || (p.s[end] == '-' || p.s[end] == '+') && (p.s[end-1] == 'e' || p.s[end-1] == 'E')) {
		end++
	}
	written := p.s[p.i:end]
	if written == "" || written[0] < '0' || written[0] > '9' {
		return "", p.unexpected()
	}
	c, err := value.ParseConstant(value.JSONB, sign+written)
	if err != nil || len(c.Text) > maxDigits {
		return "", p.refuse(fmt.Sprintf("%.40q is not a number of JSON, or has more than %d digits", written, maxDigits), "")
	}
	p.i = end
	return c.Text, nil
}
