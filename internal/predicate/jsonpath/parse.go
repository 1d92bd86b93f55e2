package jsonpath

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// Limits of a path.
const (
	maxPath   = 2048 // bytes
	maxSize   = 100  // accessors and conditions
	maxDepth  = 20   // parentheses and filters in each other
	maxDigits = 100  // of a number
	maxPlace  = 9    // digits of a place in an array
)

// CompilePath reads a path, as it stands behind @?. The error is an *value.InputError.
func CompilePath(text string) (*Path, error) {
	p, err := begin(text)
	if err != nil {
		return nil, err
	}
	out := &Path{}
	if out.steps, err = p.path('$', 0); err != nil {
		return nil, err
	}
	if p.operator() != "" {
		return nil, p.refuse("a predicate is true or false, so that this path always leads to something", "write @@ with a predicate, or a filter: $.key ? (@ == 1)")
	}
	return p.done(out)
}

// CompilePredicate reads a predicate, as it stands behind @@. The error is an *value.InputError.
func CompilePredicate(text string) (*Path, error) {
	p, err := begin(text)
	if err != nil {
		return nil, err
	}
	out := &Path{}
	if out.test, err = p.alternatives('$', 0); err != nil {
		return nil, err
	}
	return p.done(out)
}

// parser reads a path by recursive descent, and writes it anew.
type parser struct {
	s              string
	i              int
	size, compared int
	out            strings.Builder
}

func begin(text string) (*parser, error) {
	switch {
	case len(text) > maxPath:
		return nil, &value.InputError{Message: fmt.Sprintf("a jsonpath may have at most %d bytes", maxPath)}
	case !utf8.ValidString(text):
		return nil, &value.InputError{Message: "the jsonpath is not valid UTF-8"}
	}
	p := &parser{s: text}
	if p.word("strict") {
		p.i = 0
		return nil, p.refuse("strict mode is not supported, because it raises errors that hide what is found", "write the path without strict")
	}
	p.word("lax")
	return p, nil
}

func (p *parser) done(out *Path) (*Path, error) {
	if p.blanks(); p.i < len(p.s) {
		return nil, p.unexpected()
	}
	out.text, out.size, out.compared = p.out.String(), p.size, p.compared
	return out, nil
}

func (p *parser) refuse(what, hint string) *value.InputError {
	return &value.InputError{Message: fmt.Sprintf("jsonpath, character %d: %s", utf8.RuneCountInString(p.s[:p.i])+1, what), Hint: hint}
}

// unexpected is the error for what cannot stand here.
func (p *parser) unexpected() *value.InputError {
	const part = "docs/PREDICATES.md lists the parts that a path may have"
	rest := p.s[p.i:]
	switch {
	case rest == "":
		return p.refuse("the path ends too early", part)
	case strings.HasPrefix(rest, "=") && !strings.HasPrefix(rest, "=="):
		return p.refuse("= compares nothing here", "write ==")
	case strings.HasPrefix(rest, "like_regex"):
		return p.refuse("like_regex is not supported, because its patterns are a kind of their own", `write starts with "x", or (doc ->> 'key') ~ 'pattern'`)
	case strings.HasPrefix(rest, "**"):
		return p.refuse("** is not supported, because it finds one value in many ways", "name the keys on the way")
	case strings.ContainsRune("+-*/%", rune(rest[0])):
		return p.refuse("arithmetic is not supported", "compare a path with a constant")
	case rest[0] == '$':
		return p.refuse("$ stands at the beginning only: in a filter it would go through the whole document for each item", "write @ for the item")
	case rest[0] == '@':
		return p.refuse("@ stands in filters only", "write $ for the document")
	}
	r, _ := utf8.DecodeRuneInString(rest)
	return p.refuse(fmt.Sprintf("%q is not expected here", r), part)
}

func (p *parser) blanks() {
	for p.i < len(p.s) && strings.IndexByte(value.Space, p.s[p.i]) >= 0 {
		p.i++
	}
}

// accept takes signs, behind blanks.
func (p *parser) accept(signs string) bool {
	p.blanks()
	if !strings.HasPrefix(p.s[p.i:], signs) {
		return false
	}
	p.i += len(signs)
	return true
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf
}

// peek is the word that stands next; "" if there is none.
func (p *parser) peek() string {
	p.blanks()
	end := p.i
	for end < len(p.s) && isWord(p.s[end]) {
		end++
	}
	return p.s[p.i:end]
}

func (p *parser) word(w string) bool {
	if p.peek() != w {
		return false
	}
	p.i += len(w)
	return true
}

// count notes another accessor or condition.
func (p *parser) count() error {
	if p.size++; p.size > maxSize {
		return p.refuse(fmt.Sprintf("a jsonpath may have at most %d parts", maxSize), "ask for less in one path")
	}
	return nil
}

// path reads where it begins, $ or @, and its accessors.
func (p *parser) path(root byte, depth int) (steps, error) {
	if !p.accept(string(root)) {
		return nil, p.unexpected()
	}
	if w := p.peek(); w != "" {
		return nil, p.refuse("variables are not supported", "write the value into the path")
	}
	p.out.WriteByte(root)
	out := steps{}
	if err := p.count(); err != nil {
		return nil, err
	}
	for {
		var s step
		var err error
		switch {
		case p.accept("."):
			s, err = p.member()
		case p.accept("["):
			s, err = p.subscript()
		case p.accept("?"):
			s, err = p.filter(depth)
		default:
			return out, nil
		}
		if err == nil {
			err = p.count()
		}
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
}

// member reads what stands behind a point.
func (p *parser) member() (step, error) {
	p.blanks()
	rest := p.s[p.i:]
	if strings.HasPrefix(rest, "**") {
		return step{}, p.unexpected()
	}
	if p.accept("*") {
		p.out.WriteString(".*")
		return step{kind: toMembers}, nil
	}
	var key string
	switch w := p.peek(); {
	case strings.HasPrefix(rest, `"`):
		s, err := p.quoted()
		if err != nil {
			return step{}, err
		}
		key = s
	case w == "":
		return step{}, p.unexpected()
	case w[0] >= '0' && w[0] <= '9':
		return step{}, p.refuse("a key that begins with a digit stands in quotes", `write ."`+w+`"`)
	default:
		at := p.i
		p.i += len(w)
		if p.accept("(") {
			p.i = at
			return step{}, p.refuse("method "+w+"() is not supported", "compare the value itself")
		}
		key = value.QuoteJSON(w)
	}
	p.out.WriteString("." + key)
	return step{kind: toMember, key: key}, nil
}

// quoted reads a string, and returns it as Postgres quotes it in JSON.
func (p *parser) quoted() (string, error) {
	for i := p.i + 1; i < len(p.s); i++ {
		switch p.s[i] {
		case '\\':
			i++
		case '"':
			text := value.UnquoteJSON([]byte(p.s[p.i : i+1]))
			if text == nil {
				return "", p.refuse(`the string has an escape that is not one of JSON's`, `write \u0041 for a character`)
			}
			p.i = i + 1
			return value.QuoteJSON(string(text)), nil
		}
	}
	return "", p.refuse("the string does not end", "")
}

// subscript reads what stands in brackets.
func (p *parser) subscript() (step, error) {
	if p.accept("*") {
		if !p.accept("]") {
			return step{}, p.unexpected()
		}
		p.out.WriteString("[*]")
		return step{kind: toElements}, nil
	}
	s := step{kind: toElement}
	p.out.WriteByte('[')
	for {
		from, err := p.place()
		if err != nil {
			return step{}, err
		}
		one := places{from, from}
		if p.word("to") {
			p.out.WriteString(" to ")
			if one.to, err = p.place(); err != nil {
				return step{}, err
			}
		}
		if err := p.count(); err != nil {
			return step{}, err
		}
		s.places = append(s.places, one)
		if p.accept("]") {
			break
		}
		if !p.accept(",") {
			return step{}, p.unexpected()
		}
		p.out.WriteString(", ")
	}
	p.out.WriteByte(']')
	return s, nil
}

// place reads a place in an array: a number, last, or last - a number.
func (p *parser) place() (int, error) {
	if !p.word("last") {
		n, err := p.digits()
		p.out.WriteString(strconv.Itoa(n))
		return n, err
	}
	p.out.WriteString("last")
	if !p.accept("-") {
		return -1, nil
	}
	n, err := p.digits()
	p.out.WriteString(" - " + strconv.Itoa(n))
	return -1 - n, err
}

func (p *parser) digits() (int, error) {
	w := p.peek()
	n, err := strconv.Atoi(w)
	switch {
	case w == "":
		return 0, p.unexpected()
	case err != nil || len(w) > maxPlace || len(w) > 1 && w[0] == '0':
		return 0, p.refuse(fmt.Sprintf("a place in an array is a number of at most %d digits, last, or last - 1", maxPlace), "")
	}
	p.i += len(w)
	if strings.HasPrefix(p.s[p.i:], ".") {
		return 0, p.refuse("a place in an array is a whole number", "")
	}
	return n, nil
}
