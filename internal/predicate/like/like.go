// Package like matches texts with the patterns of LIKE and ILIKE: % and _ over characters, with the backslash as the
// escape character. A pattern that is constant is compiled once, into a Pattern; one that comes from a row is matched as
// it stands. Time is bounded by the product of the lengths, whatever the pattern; nothing is allocated for a text.
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

// Limits of a LIKE pattern. In the worst case a part between two % is tried at every character of the text, and each try
// costs as much as the part has _ signs (and a comparison of bytes).
const (
	maxPattern  = 8192 // bytes
	maxFloating = 100  // _ signs between two %
)

// Pattern is a compiled pattern: the segments between its % signs. It matches without recursion or backtracking:
// the first and last segment are fixed to the ends, the others are found from left to right at their first place.
type Pattern struct {
	segments [][][]byte // a segment is the literal runs between its _ signs
	Fold     bool       // ILIKE: both sides are folded as under COLLATE "C", ASCII letters only
}

// Compile parses a pattern whose escape is the backslash.
func Compile(pattern string, fold bool) (Pattern, error) {
	if len(pattern) > maxPattern {
		return Pattern{}, &value.InputError{Message: fmt.Sprintf("a LIKE pattern may have at most %d bytes", maxPattern)}
	}
	if fold {
		pattern = string(Fold(nil, []byte(pattern)))
	}
	p := Pattern{Fold: fold}
	segment, run := [][]byte{}, []byte{}
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '%':
			p.segments = append(p.segments, append(segment, run))
			segment, run = [][]byte{}, []byte{}
		case '_':
			segment, run = append(segment, run), []byte{}
		case '\\':
			i++
			if i == len(pattern) {
				return Pattern{}, &value.InputError{Message: "LIKE pattern must not end with the escape character"}
			}
			run = append(run, pattern[i])
		default:
			run = append(run, pattern[i])
		}
	}
	p.segments = append(p.segments, append(segment, run))
	for i := 1; i < len(p.segments)-1; i++ {
		if len(p.segments[i]) > maxFloating+1 {
			return Pattern{}, &value.InputError{Message: fmt.Sprintf("a LIKE pattern may have at most %d _ signs between two %%", maxFloating)}
		}
	}
	return p, nil
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
	first := p.segments[0]
	return first[0], len(p.segments) == 1 && len(first) == 1
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
	first := p.segments[0]
	n := prefixLen(s, first)
	if n < 0 {
		return false
	}
	s = s[n:]
	if len(p.segments) == 1 {
		return len(s) == 0
	}
	last := p.segments[len(p.segments)-1]
	n = suffixLen(s, last)
	if n < 0 {
		return false
	}
	s = s[:len(s)-n]
	for _, segment := range p.segments[1 : len(p.segments)-1] {
		if s = after(s, segment); s == nil {
			return false
		}
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

// after returns what follows the first place of the segment in s (never nil), or nil if it has none.
func after(s []byte, segment [][]byte) []byte {
	if s == nil {
		s = []byte{}
	}
	for {
		i := bytes.Index(s, segment[0])
		if i < 0 {
			return nil
		}
		s = s[i:]
		if n := prefixLen(s, segment); n >= 0 {
			return s[n:]
		}
		if len(s) == 0 {
			return nil
		}
		_, size := utf8.DecodeRune(s)
		s = s[size:]
	}
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

// Match is LIKE with a pattern from a row, which is complete (see Complete). After a mismatch only the last % is
// tried again, one character further, so the time is bounded by the product of the lengths.
func Match(s, p []byte) bool {
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
