package regex

import (
	"fmt"
	"strings"
)

// set is a class of characters: ranges of them, or all others.
type set struct {
	ranges  [][2]rune
	negated bool
}

func (s *set) add(from, to rune) { s.ranges = append(s.ranges, [2]rune{from, to}) }

func (s *set) addAll(ranges [][2]rune) { s.ranges = append(s.ranges, ranges...) }

// foldCase adds the other case of ASCII letters.
func (s *set) foldCase() {
	for _, r := range s.ranges {
		for _, letters := range [][2]rune{{'a', 'z'}, {'A', 'Z'}} {
			if from, to := max(r[0], letters[0]), min(r[1], letters[1]); from <= to {
				s.add(from^0x20, to^0x20)
			}
		}
	}
}

// String writes the class for the engine.
func (s *set) String() string {
	var out strings.Builder
	out.WriteByte('[')
	if s.negated {
		out.WriteByte('^')
	}
	for _, r := range s.ranges {
		fmt.Fprintf(&out, `\x{%x}`, r[0])
		if r[1] > r[0] {
			fmt.Fprintf(&out, `-\x{%x}`, r[1])
		}
	}
	out.WriteByte(']')
	return out.String()
}

// classes are the named ones under COLLATE "C", where only ASCII characters have properties.
var classes = map[string][][2]rune{
	"digit":  {{'0', '9'}},
	"alpha":  {{'A', 'Z'}, {'a', 'z'}},
	"alnum":  {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}},
	"word":   {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}},
	"space":  {{'\t', '\r'}, {' ', ' '}},
	"blank":  {{'\t', '\t'}, {' ', ' '}},
	"upper":  {{'A', 'Z'}},
	"lower":  {{'a', 'z'}},
	"punct":  {{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}},
	"xdigit": {{'0', '9'}, {'A', 'F'}, {'a', 'f'}},
}

// classEscapes are the classes that have escapes.
var classEscapes = map[rune]string{'d': "digit", 'w': "word", 's': "space"}

// bracket reads [abc], [^a-z], [[:digit:]_].
func (p *parser) bracket() (part, error) {
	p.i++
	s := &set{negated: p.accept('^')}
	for first := true; ; first = false {
		switch {
		case !p.more():
			return part{}, p.refuse("a [ is not closed", `write \[ for the character`)
		case p.at(']') && !first:
			p.i++
			if p.fold {
				s.foldCase()
			}
			return part{text: s.String(), size: 1 + len(s.ranges)/4, like: "%", open: true}, nil
		case p.at('['):
			class, err := p.named()
			if err != nil {
				return part{}, err
			}
			s.addAll(class)
		default:
			if err := p.member(s, first); err != nil {
				return part{}, err
			}
		}
	}
}

// named reads [:digit:].
func (p *parser) named() ([][2]rune, error) {
	rest := string(p.s[p.i:])
	name, _, closed := strings.Cut(strings.TrimPrefix(rest, "[:"), ":]")
	class := classes[name]
	if !strings.HasPrefix(rest, "[:") || !closed || class == nil || name == "word" {
		return nil, p.refuse("a [ inside of brackets begins a class such as [:alpha:]", `write \[ for the character; known are alpha, digit, alnum, upper, lower, space, blank, punct, xdigit`)
	}
	p.i += len([]rune(name)) + 4
	return class, nil
}

// member reads a character of a bracket, an escape, or a range.
func (p *parser) member(s *set, first bool) error {
	if p.at('-') && !first && !p.endsAfter() {
		return p.refuse("a - inside of brackets stands first, last, or between two characters", `write \- for the character`)
	}
	hyphen := p.at('-')
	from, class, err := p.bracketCharacter()
	switch {
	case err != nil:
		return err
	case class != nil:
		s.addAll(class)
		if p.at('-') && !p.endsAfter() {
			return p.refuse("a class does not begin a range", `write \- for the character`)
		}
		return nil
	case !p.at('-') || p.endsAfter():
		s.add(from, from)
		return nil
	}
	p.i++
	wrong := p.refuse("this is not a range of characters", `write \- for the character`)
	if hyphen || !p.more() || p.at('[') || p.at('-') {
		return wrong
	}
	to, class, err := p.bracketCharacter()
	if err != nil {
		return err
	}
	if class != nil || to < from {
		return wrong
	}
	s.add(from, to)
	return nil
}

// endsAfter tells whether the bracket ends behind the next character.
func (p *parser) endsAfter() bool { return p.i+1 < len(p.s) && p.s[p.i+1] == ']' }

// bracketCharacter reads a character, or the class of an escape.
func (p *parser) bracketCharacter() (c rune, class [][2]rune, err error) {
	if !p.accept('\\') {
		c = p.s[p.i]
		p.i++
		return c, nil, nil
	}
	if !p.more() {
		return 0, nil, p.refuse("the backslash at the end escapes nothing", `write \\ for the character`)
	}
	if name := classEscapes[p.s[p.i]]; name != "" {
		p.i++
		return 0, classes[name], nil
	}
	c, err = p.escaped()
	return c, nil, err
}
