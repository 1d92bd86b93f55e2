package protocol

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Errors of parameters, with the protocol's texts.
var (
	errParamKeys     = errors.New("Parameters can only use numbers as keys")                   //nolint:staticcheck // the protocol's own text
	errParamSequence = errors.New("Parameters must be numbered sequentially, starting from 1") //nolint:staticcheck // the protocol's own text
)

// maxParams bounds the numbers of parameters, as Postgres does.
const maxParams = 65535

// numbered is the parameters of a clause by their numbers.
type numbered map[int]string

// params reads params[1]=x, params[2]=y, …
func params(q url.Values) (numbered, error) {
	var out numbered
	for name, values := range q {
		inner, ok := strings.CutPrefix(name, "params[")
		if !ok {
			continue
		}
		inner, ok = strings.CutSuffix(inner, "]")
		n, err := strconv.Atoi(inner)
		if !ok || err != nil || strconv.Itoa(n) != inner {
			return nil, errParamKeys
		}
		if n < 1 || n > maxParams {
			return nil, errParamSequence
		}
		if out == nil {
			out = numbered{}
		}
		out[n] = values[len(values)-1]
	}
	return out, nil
}

// bind writes a clause such that its parameters are $1, $2, … without gaps, each of them used, which is what shapes
// want. Clients drop parameters that are null, and may send more than a clause uses.
func bind(where string, given numbered) (string, []*string, error) {
	used := references(where)
	if len(used) == 0 {
		return where, nil, nil
	}
	bound := map[int]int{} // number → the one that it has then
	for _, r := range used {
		if _, ok := given[r.number]; !ok {
			for n := 1; n < r.number; n++ {
				if _, ok := given[n]; !ok && len(given) > 0 {
					return "", nil, errParamSequence
				}
			}
			return "", nil, fmt.Errorf("At location %d: parameter $%d was not provided", len([]rune(where[:r.from])), r.number)
		}
		bound[r.number] = 0
	}
	numbers := slices.Sorted(maps.Keys(bound))
	for i, n := range numbers {
		bound[n] = i + 1
	}
	var text strings.Builder
	at := 0
	for _, r := range used {
		text.WriteString(where[at:r.from])
		fmt.Fprintf(&text, "$%d", bound[r.number])
		at = r.to
	}
	text.WriteString(where[at:])
	values := make([]*string, len(numbers))
	for i, n := range numbers {
		v := given[n]
		values[i] = &v
	}
	return text.String(), values, nil
}

// reference is a $n in a clause.
type reference struct{ from, to, number int }

// references finds the parameters of a clause: outside of texts, names and comments.
func references(s string) []reference {
	var out []reference
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == '\'':
			escapes := i > 0 && (s[i-1] == 'e' || s[i-1] == 'E') && (i < 2 || !nameByte(s[i-2]))
			i = closing(s, i+1, '\'', escapes)
		case c == '"':
			i = closing(s, i+1, '"', false)
		case strings.HasPrefix(s[i:], "--"):
			n := strings.IndexByte(s[i:], '\n')
			if n < 0 {
				return out
			}
			i += n
		case strings.HasPrefix(s[i:], "/*"):
			i = commentEnd(s, i)
		case c == '$':
			end := i + 1
			for end < len(s) && '0' <= s[end] && s[end] <= '9' {
				end++
			}
			if n, err := strconv.Atoi(s[i+1 : end]); err == nil && n > 0 && n <= maxParams && (i == 0 || !nameByte(s[i-1])) {
				out = append(out, reference{i, end, n})
				i = end
				continue
			}
			i = dollarEnd(s, i)
		default:
			i++
		}
	}
	return out
}

func nameByte(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// closing is behind the quote that closes the one before i.
func closing(s string, i int, quote byte, escapes bool) int {
	for ; i < len(s); i++ {
		switch {
		case escapes && s[i] == '\\':
			i++
		case s[i] == quote:
			return i + 1 // a doubled quote opens the next text at once
		}
	}
	return len(s)
}

func commentEnd(s string, i int) int {
	depth := 0
	for i < len(s) {
		switch {
		case strings.HasPrefix(s[i:], "/*"):
			depth++
			i += 2
		case strings.HasPrefix(s[i:], "*/"):
			depth--
			i += 2
			if depth == 0 {
				return i
			}
		default:
			i++
		}
	}
	return len(s)
}

// dollarEnd is behind a text in dollar quotes that begins at i, or behind the dollar.
func dollarEnd(s string, i int) int {
	end := i + 1
	for end < len(s) && s[end] != '$' && nameByte(s[end]) {
		end++
	}
	if end >= len(s) || s[end] != '$' || i > 0 && nameByte(s[i-1]) {
		return i + 1
	}
	tag := s[i : end+1]
	if n := strings.Index(s[end+1:], tag); n >= 0 {
		return end + 1 + n + len(tag)
	}
	return len(s)
}
