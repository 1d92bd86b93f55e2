package value

import (
	"cmp"
	"slices"
	"strings"
)

// jsonText reads JSON and writes it as Postgres prints the jsonb of it.
func jsonText(text string) (string, error) {
	p := jsonParser{s: text}
	var out strings.Builder
	p.blanks()
	ok := p.value(&out, 0)
	p.blanks()
	if !ok || p.i != len(p.s) {
		return "", badInput(JSONB, text)
	}
	return out.String(), nil
}

type jsonParser struct {
	s string
	i int
}

func (p *jsonParser) blanks() {
	for p.i < len(p.s) && strings.IndexByte(" \t\n\r", p.s[p.i]) >= 0 {
		p.i++
	}
}

func (p *jsonParser) accept(c byte) bool {
	p.blanks()
	if p.i < len(p.s) && p.s[p.i] == c {
		p.i++
		return true
	}
	return false
}

func (p *jsonParser) value(out *strings.Builder, depth int) bool {
	const deepest = 200 // Postgres has to read it with the stack that is left to it
	p.blanks()
	if depth > deepest || p.i == len(p.s) {
		return false
	}
	switch c := p.s[p.i]; {
	case c == '{':
		return p.object(out, depth)
	case c == '[':
		return p.array(out, depth)
	case c == '"':
		s, ok := p.string()
		out.WriteString(s)
		return ok
	case c == '-' || c >= '0' && c <= '9':
		return p.number(out)
	}
	for _, word := range []string{"true", "false", "null"} {
		if strings.HasPrefix(p.s[p.i:], word) {
			p.i += len(word)
			out.WriteString(word)
			return true
		}
	}
	return false
}

func (p *jsonParser) array(out *strings.Builder, depth int) bool {
	p.i++
	out.WriteByte('[')
	for first := true; ; first = false {
		if first && p.accept(']') {
			break
		}
		if !first {
			if p.accept(']') {
				break
			}
			if !p.accept(',') {
				return false
			}
			out.WriteString(", ")
		}
		if !p.value(out, depth+1) {
			return false
		}
	}
	out.WriteByte(']')
	return true
}

// object sorts the keys by length and bytes; of equal ones the last counts.
func (p *jsonParser) object(out *strings.Builder, depth int) bool {
	type pair struct{ key, quoted, value string }
	var pairs []pair
	p.i++
	for first := true; ; first = false {
		if p.accept('}') {
			if !first || len(pairs) == 0 {
				break
			}
		}
		if !first && !p.accept(',') {
			return false
		}
		p.blanks()
		if p.i == len(p.s) || p.s[p.i] != '"' {
			return false
		}
		quoted, ok := p.string()
		if !ok || !p.accept(':') {
			return false
		}
		var value strings.Builder
		if !p.value(&value, depth+1) {
			return false
		}
		pairs = append(pairs, pair{string(UnquoteJSON([]byte(quoted))), quoted, value.String()})
	}
	slices.SortStableFunc(pairs, func(a, b pair) int {
		return cmp.Or(cmp.Compare(len(a.key), len(b.key)), strings.Compare(a.key, b.key))
	})
	out.WriteByte('{')
	written := false
	for i, kv := range pairs {
		if i+1 < len(pairs) && pairs[i+1].key == kv.key {
			continue
		}
		if written {
			out.WriteString(", ")
		}
		written = true
		out.WriteString(kv.quoted + ": " + kv.value)
	}
	out.WriteByte('}')
	return true
}

// string reads a string and returns it as Postgres quotes it.
func (p *jsonParser) string() (string, bool) {
	n := jsonStringEnd([]byte(p.s[p.i:]))
	if n < 0 {
		return "", false
	}
	raw := p.s[p.i : p.i+n]
	p.i += n
	for i := range len(raw) {
		if raw[i] < ' ' {
			return "", false
		}
	}
	s := UnquoteJSON([]byte(raw))
	return QuoteJSON(string(s)), s != nil || raw == `""`
}

func (p *jsonParser) number(out *strings.Builder) bool {
	start := p.i
	p.take('-')
	switch {
	case p.take('0'):
	case p.digits() == 0:
		return false
	}
	if p.take('.') && p.digits() == 0 {
		return false
	}
	const longExponent = 4
	if p.take('e') || p.take('E') {
		if !p.take('+') {
			p.take('-')
		}
		if n := p.digits(); n == 0 || n > longExponent-1 {
			return false
		}
	}
	out.Write(PlainNumeric([]byte(p.s[start:p.i])))
	return true
}

func (p *jsonParser) take(c byte) bool {
	if p.i < len(p.s) && p.s[p.i] == c {
		p.i++
		return true
	}
	return false
}

func (p *jsonParser) digits() (n int) {
	for p.i < len(p.s) && p.s[p.i] >= '0' && p.s[p.i] <= '9' {
		p.i++
		n++
	}
	return n
}
