package regex

import (
	"fmt"
	"strings"

	"github.com/shapebus/shapebus/internal/predicate/like"
	"github.com/shapebus/shapebus/internal/predicate/value"
)

// parser reads a pattern by recursive descent.
type parser struct {
	s    []rune
	i    int
	fold bool
}

// part is a part of a pattern as it is written for the engine.
type part struct {
	text string
	size int

	// needs are LIKE patterns for alternatives; of a piece they are in like.
	needs []string
	like  string // what a text must have where the piece stands: % if that is not known
	open  bool   // like ends with %
}

func (p *parser) refuse(what, hint string) *value.InputError {
	return &value.InputError{Message: fmt.Sprintf("regular expression, character %d: %s", p.i+1, what), Hint: hint}
}

func (p *parser) more() bool { return p.i < len(p.s) }

func (p *parser) at(c rune) bool { return p.more() && p.s[p.i] == c }

func (p *parser) accept(c rune) bool {
	if p.at(c) {
		p.i++
		return true
	}
	return false
}

// alternatives reads branches up to the end, or a closing parenthesis.
func (p *parser) alternatives(depth int) (part, error) {
	if depth > maxDepth {
		return part{}, p.refuse("groups are nested too deeply", "")
	}
	var out part
	known := true
	for n := 0; ; n++ {
		b, err := p.branch(depth)
		if err != nil {
			return part{}, err
		}
		if n > 0 {
			out.text += "|"
		}
		out.text += b.text
		if out.size += b.size + 1; out.size > maxSize {
			return part{}, p.refuse("the regular expression is too large", "")
		}
		known = known && strings.Trim(b.like, "%") != ""
		out.needs = append(out.needs, b.like)
		if !p.accept('|') {
			break
		}
	}
	if !known {
		out.needs = nil
	}
	return out, nil
}

// branch reads pieces that follow each other.
func (p *parser) branch(depth int) (part, error) {
	var out part
	needs, open := "%", true
	var text strings.Builder
	first := true
	for p.more() && !p.at('|') && !p.at(')') {
		anchor := p.at('^') || p.at('$')
		from := p.s[p.i]
		piece, err := p.piece(depth)
		if err != nil {
			return part{}, err
		}
		text.WriteString(piece.text)
		if out.size += piece.size; out.size > maxSize {
			return part{}, p.refuse("the regular expression is too large", "")
		}
		last := !p.more() || p.at('|') || p.at(')')
		switch {
		case anchor && from == '^' && first:
			needs, open = "", false
		case anchor && from == '$' && last:
			out.text, out.like = text.String(), needs
			return out, nil
		default:
			if piece.like != "%" || !open {
				needs += piece.like
			}
			open = piece.open
		}
		first = false
	}
	if first {
		return part{}, p.refuse("an empty alternative is not supported", "write (x)? for what may be missing")
	}
	if !open {
		needs += "%"
	}
	out.text, out.like = text.String(), needs
	return out, nil
}

// piece reads an atom and what says how often it stands there.
func (p *parser) piece(depth int) (part, error) {
	a, constraint, err := p.atom(depth)
	if err != nil {
		return part{}, err
	}
	if !p.more() || !strings.ContainsRune("*+?{", p.s[p.i]) {
		return a, nil
	}
	if constraint {
		return part{}, p.refuse("nothing that can be repeated stands before "+string(p.s[p.i]), `write \`+string(p.s[p.i])+" for the character")
	}
	least, most, err := p.repetition()
	if err != nil {
		return part{}, err
	}
	switch {
	case least == 0 && most < 0:
		a.text += "*"
	case least == 1 && most < 0:
		a.text += "+"
	case least == 0 && most == 1:
		a.text += "?"
	case most < 0:
		a.text += fmt.Sprintf("{%d,}", least)
	default:
		a.text += fmt.Sprintf("{%d,%d}", least, most)
	}
	a.size *= max(least, most, 1)
	if a.size++; a.size > maxSize {
		return part{}, p.refuse("the regular expression is too large", "")
	}
	if least == 0 {
		a.like = "%"
	} else if !a.open {
		a.like += "%"
	}
	a.open = true
	p.accept('?') // as few as possible, which makes no difference to whether there is a match
	if p.more() && strings.ContainsRune("*+?{", p.s[p.i]) {
		return part{}, p.refuse("a repetition cannot be repeated", "put what it repeats into parentheses")
	}
	return a, nil
}

// repetition reads * + ? {n} {n,} {n,m}; most is -1 without a limit.
func (p *parser) repetition() (least, most int, err error) {
	switch c := p.s[p.i]; c {
	case '*', '+', '?':
		p.i++
		return map[rune]int{'*': 0, '+': 1, '?': 0}[c], map[rune]int{'*': -1, '+': -1, '?': 1}[c], nil
	}
	wrong := p.refuse("a repetition is written {2}, {2,} or {2,5}, up to 255", `write \{ for the character`)
	p.i++
	least, ok := p.number()
	most = least
	if p.accept(',') {
		if most = -1; !p.at('}') {
			var given bool
			if most, given = p.number(); !given || most < least {
				return 0, 0, wrong
			}
		}
	}
	if !ok || !p.accept('}') || least > maxRepeat || most > maxRepeat {
		return 0, 0, wrong
	}
	return least, most, nil
}

func (p *parser) number() (n int, ok bool) {
	for p.more() && p.s[p.i] >= '0' && p.s[p.i] <= '9' && n < 1000 {
		n, ok = n*10+int(p.s[p.i]-'0'), true
		p.i++
	}
	return n, ok
}

// atom reads what can be repeated, or a constraint, which cannot.
func (p *parser) atom(depth int) (out part, constraint bool, err error) {
	unknown := func(text string) part { return part{text: text, size: 1, like: "%", open: true} }
	switch c := p.s[p.i]; c {
	case '^':
		p.i++
		return unknown(`\A`), true, nil
	case '$':
		p.i++
		return unknown(`\z`), true, nil
	case '.':
		p.i++
		return unknown(`(?s:.)`), false, nil
	case '(':
		out, err = p.group(depth)
		return out, false, err
	case '[':
		out, err = p.bracket()
		return out, false, err
	case '*', '+', '?', '{':
		return part{}, false, p.refuse("nothing stands before "+string(c), `write \`+string(c)+" for the character")
	case '\\':
		return p.escape()
	default:
		p.i++
		return p.literal(c), false, nil
	}
}

func (p *parser) group(depth int) (part, error) {
	p.i++
	if p.accept('?') && !p.accept(':') {
		return part{}, p.refuse("only groups ( ) and (?: ) are supported: no lookahead, lookbehind, options or comments", "write ~* to ignore case")
	}
	out, err := p.alternatives(depth + 1)
	if err != nil {
		return part{}, err
	}
	if !p.accept(')') {
		return part{}, p.refuse("a ( is not closed", `write \( for the character`)
	}
	return part{text: "(?:" + out.text + ")", size: out.size, like: "%", open: true}, nil
}

// literal is one character.
func (p *parser) literal(c rune) part {
	s := &set{}
	s.add(c, c)
	if p.fold {
		s.foldCase()
	}
	return part{text: s.String(), size: 1, like: like.Literal(string(c))}
}

// escapes of the engine's and Postgres' constraints.
var constraints = map[rune]string{'A': `\A`, 'Z': `\z`, 'y': `\b`, 'Y': `\B`}

func (p *parser) escape() (out part, constraint bool, err error) {
	p.i++
	if !p.more() {
		return part{}, false, p.refuse("the backslash at the end escapes nothing", `write \\ for the character`)
	}
	c := p.s[p.i]
	if text := constraints[c]; text != "" {
		p.i++
		return part{text: text, size: 1, like: "%", open: true}, true, nil
	}
	if class := classes[classEscapes[c|0x20]]; class != nil && (c == 'd' || c == 'w' || c == 's' || c == 'D' || c == 'W' || c == 'S') {
		p.i++
		s := &set{negated: c < 'a'}
		s.addAll(class)
		return part{text: s.String(), size: 1, like: "%", open: true}, false, nil
	}
	if c, err = p.escaped(); err != nil {
		return part{}, false, err
	}
	return p.literal(c), false, nil
}

// escaped reads the character behind a backslash that stands for one character.
func (p *parser) escaped() (rune, error) {
	c := p.s[p.i]
	if to, ok := characters[c]; ok {
		p.i++
		return to, nil
	}
	if c > '~' || c < ' ' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
		return 0, p.refuse(`the escape \`+string(c)+" is not supported", `\d \w \s \D \W \S \A \Z \y \Y \n \t \r \f \v are, and \ before any sign`)
	}
	p.i++
	return c, nil
}

var characters = map[rune]rune{'n': '\n', 't': '\t', 'r': '\r', 'f': '\f', 'v': '\v'}
