// Package like matches texts with the patterns of LIKE and ILIKE: % and _ over characters, with the backslash as the
// escape character. A pattern that is constant is compiled once, into a Pattern; one that comes from a row is matched as
// it stands, or compiled for the row if it is large. Time grows with the text, by a factor that is known of a pattern.
// Nothing is allocated for a text.
//
// ILIKE folds ASCII letters only, as under COLLATE "C".
package like

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// Limits of a constant pattern.
const (
	maxPattern  = 8192 // bytes
	maxFloating = 100  // _ signs between two %
	maxWild     = 256  // characters between two % with a _ among them; each 64 cost every character of a text a step
)

// Pattern is a compiled pattern: the segments between its % signs. It matches without recursion or backtracking:
// the first and last segment are fixed to the ends, the others are found from left to right at their first place, each
// character of the text being looked at once.
type Pattern struct {
	first  [][]byte // the literal runs between the _ signs of the segment
	middle []segment
	last   [][]byte // nil without a %
	Fold   bool     // ILIKE: both sides are folded as under COLLATE "C", ASCII letters only
}

// Compile parses a pattern whose escape is the backslash.
func Compile(pattern string, fold bool) (Pattern, error) {
	if len(pattern) > maxPattern {
		return Pattern{}, &value.InputError{Message: fmt.Sprintf("a LIKE pattern may have at most %d bytes", maxPattern)}
	}
	if fold {
		pattern = string(Fold(nil, []byte(pattern)))
	}
	if !Complete([]byte(pattern)) {
		return Pattern{}, &value.InputError{Message: "LIKE pattern must not end with the escape character"}
	}
	p, runs := parse([]byte(pattern))
	p.Fold = fold
	for _, segment := range runs {
		if len(segment) > maxFloating+1 {
			return Pattern{}, &value.InputError{Message: fmt.Sprintf("a LIKE pattern may have at most %d _ signs between two %%", maxFloating)}
		}
		s := newSegment(segment)
		if s.wild != nil && s.wild.characters > maxWild {
			return Pattern{}, &value.InputError{Message: fmt.Sprintf("a LIKE pattern may have at most %d characters between two %% if a _ stands among them", maxWild)}
		}
		p.middle = append(p.middle, s)
	}
	return p, nil
}

// parse splits a complete pattern into its ends and the segments in between.
func parse(pattern []byte) (p Pattern, middle [][][]byte) {
	var segments [][][]byte
	segment, run := [][]byte{}, []byte{}
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '%':
			segments = append(segments, append(segment, run))
			segment, run = [][]byte{}, []byte{}
		case '_':
			segment, run = append(segment, run), []byte{}
		case '\\':
			i++
			run = append(run, pattern[i])
		default:
			run = append(run, pattern[i])
		}
	}
	segments = append(segments, append(segment, run))
	p.first = segments[0]
	if n := len(segments); n > 1 {
		p.last, middle = segments[n-1], segments[1:n-1]
	}
	return p, middle
}

// Steps is how many steps of about a nanosecond a match of a text of that many bytes takes at most.
func (p *Pattern) Steps(text float64) float64 {
	const fixed, segment = 10, 20
	steps := 1.0
	if p.Fold {
		steps++
	}
	for i := range p.middle { // one after the other: each byte is some segment's, and may be tried by the next one
		steps = max(steps, p.middle[i].steps())
	}
	return fixed + segment*float64(len(p.middle)) + steps*text
}

// Literal is a pattern that matches the text itself.
func Literal(text string) string {
	return strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(text)
}

// Escape rewrites a pattern with another escape character (empty for none) to one with backslashes.
func Escape(pattern, escape string) (string, error) {
	if utf8.RuneCountInString(escape) > 1 {
		return "", &value.InputError{Message: "invalid escape string " + value.QuoteShort(escape), Hint: "ESCAPE takes one character, or none"}
	}
	if escape == `\` {
		return pattern, nil
	}
	if escape == "" {
		return strings.ReplaceAll(pattern, `\`, `\\`), nil
	}
	var b strings.Builder
	escaped := false
	for _, r := range pattern {
		switch {
		case string(r) == escape && !escaped:
			b.WriteByte('\\')
			escaped = true
			continue
		case r == '\\' && !escaped:
			b.WriteString(`\\`)
		default:
			b.WriteRune(r)
		}
		escaped = false
	}
	return b.String(), nil
}

// Buffers holds buffers for texts too long for the stack. It must not be copied once used.
type Buffers struct{ pool sync.Pool }

// Prefix is what every text that matches begins with; whole if nothing else matches.
func (p *Pattern) Prefix() (text []byte, whole bool) {
	return p.first[0], p.last == nil && len(p.first) == 1
}

// Runs are literal texts of which every text that matches holds each.
func (p *Pattern) Runs() (all [][]byte) {
	all = append(all, p.first...)
	for i := range p.middle {
		if p.middle[i].wild == nil {
			all = append(all, p.middle[i].core)
		}
	}
	return append(all, p.last...)
}

// Match reports whether a text is like the pattern.
func (p *Pattern) Match(s []byte, buffers *Buffers) bool {
	if !p.Fold {
		return p.matchFolded(s)
	}
	var small [256]byte
	if len(s) <= len(small) {
		return p.matchFolded(Fold(small[:0], s))
	}
	buf, _ := buffers.pool.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	*buf = Fold((*buf)[:0], s)
	ok := p.matchFolded(*buf)
	buffers.pool.Put(buf)
	return ok
}

func (p *Pattern) matchFolded(s []byte) bool {
	n := prefixLen(s, p.first)
	if n < 0 {
		return false
	}
	s = s[n:]
	if p.last == nil {
		return len(s) == 0
	}
	n = suffixLen(s, p.last)
	if n < 0 {
		return false
	}
	s = s[:len(s)-n]
	for i := range p.middle {
		n := p.middle[i].find(s)
		if n < 0 {
			return false
		}
		s = s[n:]
	}
	return true
}

// prefixLen returns how many bytes of s the segment takes at its start, or -1.
func prefixLen(s []byte, segment [][]byte) int {
	n := 0
	for i, run := range segment {
		if i > 0 {
			if n == len(s) {
				return -1
			}
			_, size := utf8.DecodeRune(s[n:])
			n += size
		}
		if !bytes.HasPrefix(s[n:], run) {
			return -1
		}
		n += len(run)
	}
	return n
}

// suffixLen is prefixLen from the end.
func suffixLen(s []byte, segment [][]byte) int {
	rest := s
	for i, run := range slices.Backward(segment) {
		if !bytes.HasSuffix(rest, run) {
			return -1
		}
		rest = rest[:len(rest)-len(run)]
		if i > 0 {
			if len(rest) == 0 {
				return -1
			}
			_, size := utf8.DecodeLastRune(rest)
			rest = rest[:len(rest)-size]
		}
	}
	return len(s) - len(rest)
}

// Fold appends a text with its ASCII letters in lower case, which is what ILIKE compares.
func Fold(dst, s []byte) []byte {
	for _, c := range s {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// Complete reports whether every escape character of a pattern escapes something. Only then Postgres takes it.
func Complete(pattern []byte) bool {
	trailing := 0
	for i := len(pattern) - 1; i >= 0 && pattern[i] == '\\'; i-- {
		trailing++
	}
	return trailing%2 == 0
}

// stepwise is up to which product of the lengths a pattern from a row is matched without being compiled.
const stepwise = 1 << 14

// Match is LIKE with a pattern from a row, which is complete (see Complete).
func Match(s, p []byte) bool {
	if len(s)*len(p) <= stepwise {
		return matchStepwise(s, p)
	}
	return matchCompiled(s, p)
}

// StepsOfRow is Pattern.Steps for a pattern from a row, of so many bytes.
func StepsOfRow(text, pattern float64) float64 {
	const compiled = 20
	return compiled*pattern + wildSteps(pattern)*text
}

func matchCompiled(s, pattern []byte) bool {
	least := 0 // characters that the pattern takes; only a text as long is worth compiling for
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\':
			i++
			least++
		case c != '%' && utf8.RuneStart(c):
			least++
		}
	}
	if least > len(s) {
		return false
	}
	p, middle := parse(pattern)
	for _, runs := range middle {
		p.middle = append(p.middle, newSegment(runs))
	}
	return p.matchFolded(s)
}

// matchStepwise tries, after a mismatch, only the last % again, one character further, so the time is bounded by
// the product of the lengths.
func matchStepwise(s, p []byte) bool {
	restart, mark := -1, 0 // where to go on in the pattern after the last %, and in the text
	i, j := 0, 0
	for i < len(s) {
		if j < len(p) {
			switch c := p[j]; c {
			case '%':
				j++
				restart, mark = j, i
				continue
			case '_':
				i += runeLen(s[i:])
				j++
				continue
			default:
				k := j
				if c == '\\' {
					k++
				}
				if p[k] == s[i] {
					i, j = i+1, k+1
					continue
				}
			}
		}
		if restart < 0 {
			return false
		}
		mark += runeLen(s[mark:])
		i, j = mark, restart
	}
	for j < len(p) && p[j] == '%' {
		j++
	}
	return j == len(p)
}

// runeLen is the length of the character that s begins with.
func runeLen(s []byte) int {
	_, size := utf8.DecodeRune(s)
	return size
}
