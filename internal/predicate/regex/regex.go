// Package regex matches texts with regular expressions, as the operators ~ and ~* do under COLLATE "C". It takes the part of
// Postgres' advanced regular expressions of which the engine of package regexp, whose time grows with the text only, gives
// the same answers: characters, classes, anchors, groups, alternatives and repetition. Everything else, and what the two
// read differently, is refused with its place in the pattern.
//
// A pattern is parsed here and written anew for package regexp, so that nothing depends on how that reads it. Without regard
// to case only ASCII letters are folded, as ILIKE does.
package regex

import (
	"fmt"
	"regexp"
	"unicode/utf8"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// Limits of a pattern.
const (
	maxPattern = 1024 // bytes
	maxSize    = 1000 // characters and classes, each as often as it is repeated
	maxDepth   = 50   // groups in groups
	maxRepeat  = 255  // as in Postgres
)

// Pattern is a compiled regular expression. It is immutable and safe for concurrent use.
type Pattern struct {
	engine *regexp.Regexp
	size   int
	needs  []string
}

// Compile reads a pattern; fold is ~*. The error is an *value.InputError.
func Compile(pattern string, fold bool) (*Pattern, error) {
	if len(pattern) > maxPattern {
		return nil, &value.InputError{Message: fmt.Sprintf("a regular expression may have at most %d bytes", maxPattern)}
	}
	if !utf8.ValidString(pattern) {
		return nil, &value.InputError{Message: "the regular expression is not valid UTF-8"}
	}
	p := &parser{s: []rune(pattern), fold: fold}
	all, err := p.alternatives(0)
	switch {
	case err != nil:
		return nil, err
	case p.i < len(p.s): // only a parenthesis ends alternatives
		return nil, p.refuse("a ) closes nothing", `write \) for the character`)
	}
	engine, gerr := regexp.Compile(all.text)
	if gerr != nil {
		return nil, &value.InputError{Message: "the regular expression is not supported: " + gerr.Error()}
	}
	return &Pattern{engine: engine, size: all.size, needs: all.needs}, nil
}

// Match reports whether a part of the text matches.
func (p *Pattern) Match(text []byte) bool { return p.engine.Match(text) }

// Size is how many characters and classes the pattern has, each as often as it is repeated.
func (p *Pattern) Size() int { return p.size }

// Needs are LIKE patterns of which every text that matches is like one at least; none if nothing is known.
func (p *Pattern) Needs() []string { return p.needs }

// Steps is what matching a text of so many bytes takes.
func (p *Pattern) Steps(text float64) float64 {
	const (
		fixed   = 300
		perByte = 25 // of the engine
		perItem = 6  // of the pattern, for each byte, where many of its parts are possible at once
	)
	return fixed + text*(perByte+perItem*float64(p.size))
}
