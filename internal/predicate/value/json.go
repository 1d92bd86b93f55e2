package value

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// jsonb is evaluated on the text that Postgres prints: {"key": value, …} with one blank after colons and commas, keys
// sorted and unique. A part of such a text is the text of the part.

// jsonEnd returns where the value at the start of s ends; -1 if it does not.
func jsonEnd(s []byte) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			n := jsonStringEnd(s[i:])
			if n < 0 {
				return -1
			}
			i += n - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
			if depth < 0 {
				return i
			}
		case ',', ':', ' ':
			if depth == 0 {
				return i
			}
			continue
		default:
			for i+1 < len(s) && strings.IndexByte(`,:]} `, s[i+1]) < 0 {
				i++
			}
		}
		if depth == 0 {
			return i + 1
		}
	}
	return -1
}

func jsonStringEnd(s []byte) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// JSONItems calls visit with the values of an array, or the keys (as strings in JSON) and values of an object, until it
// returns false.
func JSONItems(s []byte, visit func(key, value []byte) bool) {
	object := len(s) > 0 && s[0] == '{'
	i := 1
	for i < len(s) && s[i] != ']' && s[i] != '}' {
		var key []byte
		if object {
			n := jsonEnd(s[i:])
			if n <= 0 || i+n+2 > len(s) {
				return
			}
			key = s[i : i+n]
			i += n + 2 // colon and blank
		}
		n := jsonEnd(s[i:])
		if n <= 0 || !visit(key, s[i:i+n]) {
			return
		}
		i += n
		if i < len(s) && s[i] == ',' {
			i += 2
		}
	}
}

// JSONKind is the first byte of a value, which tells its type: { [ " t f n, and 0 for all numbers. It is zero for nothing.
func JSONKind(s []byte) byte {
	switch {
	case len(s) == 0:
		return 0
	case s[0] == '-' || s[0] >= '0' && s[0] <= '9':
		return '0'
	}
	return s[0] // { [ " t f n
}

// IsJSONContainer reports whether a value is an object or an array.
func IsJSONContainer(s []byte) bool { return JSONKind(s) == '{' || JSONKind(s) == '[' }

// JSONMembers calls visit with what stands at the top of a document, until it returns false: the keys of an object, as strings in
// JSON, the elements of an array, or the document itself if it is a scalar, then without a key.
func JSONMembers(s []byte, visit func(key, value []byte) bool) {
	switch {
	case len(s) == 0:
	case IsJSONContainer(s):
		JSONItems(s, visit)
	default:
		visit(nil, s)
	}
}

// JSONKey finds the value of a key; nil if there is none.
func JSONKey(s []byte, key string) (value []byte) {
	if JSONKind(s) != '{' {
		return nil
	}
	quoted := QuoteJSON(key)
	JSONItems(s, func(k, v []byte) bool {
		if string(k) == quoted {
			value = v
		}
		return value == nil
	})
	return value
}

// JSONIndex finds the element at a place, counted from the end if negative. A lone scalar is at place 0, as in Postgres.
func JSONIndex(s []byte, at int64) (value []byte) {
	if JSONKind(s) == '{' {
		return nil
	}
	if JSONKind(s) != '[' {
		if at == 0 || at == -1 {
			return s
		}
		return nil
	}
	if at < 0 {
		JSONItems(s, func(_, _ []byte) bool { at++; return true })
		if at < 0 {
			return nil
		}
	}
	JSONItems(s, func(_, v []byte) bool {
		if at == 0 {
			value = v
		}
		at--
		return value == nil
	})
	return value
}

// JSONPath follows keys and places from the outside inwards; nil if the path leads nowhere, or has a NULL.
func JSONPath(s []byte, path *Array) []byte {
	for i := range path.Elements {
		if path.Elements[i].Null {
			return nil
		}
	}
	for i := range path.Elements {
		step := path.Elements[i].Bytes
		switch JSONKind(s) {
		case '{':
			s = JSONKey(s, string(step))
		case '[':
			at, ok := jsonPlace(step)
			if !ok {
				return nil
			}
			s = JSONIndex(s, at)
		default: // a scalar has no parts
			return nil
		}
		if s == nil {
			return nil
		}
	}
	return s
}

// jsonPlace reads a place in an array as C's strtol does, which is how Postgres reads one in a path.
func jsonPlace(step []byte) (at int64, ok bool) {
	at, err := strconv.ParseInt(strings.TrimLeft(string(step), Space), 10, 32)
	return at, err == nil
}

// JSONAsText is ->>: a string without its quotes, NULL (nil) for null, anything else as it is.
func JSONAsText(s []byte) []byte {
	switch JSONKind(s) {
	case 'n':
		return nil
	case '"':
		return UnquoteJSON(s)
	}
	return s
}

// QuoteJSON writes a string as Postgres does.
func QuoteJSON(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case '\b':
			b.WriteString(`\b`)
		case '\f':
			b.WriteString(`\f`)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		default:
			if c < ' ' {
				b.WriteString(`\u00` + string("0123456789abcdef"[c>>4]) + string("0123456789abcdef"[c&15]))
			} else {
				b.WriteByte(c)
			}
		}
	}
	b.WriteByte('"')
	return b.String()
}

// UnquoteJSON reads a string that QuoteJSON or a user wrote; nil if it is malformed.
func UnquoteJSON(s []byte) []byte {
	if len(s) < 2 || s[len(s)-1] != '"' {
		return nil
	}
	s = s[1 : len(s)-1]
	if bytes.IndexByte(s, '\\') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			out = append(out, s[i])
			continue
		}
		if i++; i == len(s) {
			return nil
		}
		switch s[i] {
		case '"', '\\', '/':
			out = append(out, s[i])
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, n := unicodeEscape(s[i-1:])
			if n == 0 {
				return nil
			}
			out = utf8.AppendRune(out, r)
			i += n - 2
		default:
			return nil
		}
	}
	return out
}

// unicodeEscape reads \uXXXX, and the second half of a pair. n is 0 for what is not a character that text can hold.
func unicodeEscape(s []byte) (r rune, n int) {
	unit := func(s []byte) rune {
		if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
			return -1
		}
		v, err := strconv.ParseUint(string(s[2:6]), 16, 16)
		if err != nil {
			return -1
		}
		return rune(v)
	}
	switch r = unit(s); {
	case r <= 0 || r >= 0xdc00 && r < 0xe000:
		return 0, 0
	case r < 0xd800 || r >= 0xe000:
		return r, 6
	}
	low := unit(s[6:])
	if low < 0xdc00 || low >= 0xe000 {
		return 0, 0
	}
	return (r-0xd800)<<10 + (low - 0xdc00) + 0x10000, 12
}

const maxJSONDepth = 10_000 // far more than Postgres reads

// equalJSON compares two values: numbers by value, everything else by text. Equal values are the same texts but for
// their numbers, so both are read side by side, once.
func equalJSON(a, b []byte) bool {
	for len(a) > 0 && len(b) > 0 {
		n, m := jsonToken(a), jsonToken(b)
		switch number := JSONKind(a) == '0'; {
		case number != (JSONKind(b) == '0'):
			return false
		case number && compareNumeric(&Datum{Bytes: a[:n]}, &Datum{Bytes: b[:m]}) != 0:
			return false
		case !number && !bytes.Equal(a[:n], b[:m]):
			return false
		}
		a, b = a[n:], b[m:]
	}
	return len(a) == len(b)
}

// jsonToken is the length of the number, the string or the other byte that s begins with.
func jsonToken(s []byte) int {
	switch JSONKind(s) {
	case '"':
		if n := jsonStringEnd(s); n > 0 {
			return n
		}
		return len(s)
	case '0':
		n := 1
		for n < len(s) && strings.IndexByte(`,:]} `, s[n]) < 0 {
			n++
		}
		return n
	}
	return 1
}

// CompareJSONNumbers compares two numbers by value.
func CompareJSONNumbers(a, b []byte) int { return compareNumeric(&Datum{Bytes: a}, &Datum{Bytes: b}) }

// CompareJSON tells equal values (0) from others; it is no order.
func CompareJSON(a, b *Datum) int {
	if equalJSON(a.Bytes, b.Bytes) {
		return 0
	}
	return 1
}

// ContainsJSON is @> at the top, where a lone scalar counts as an array of it on the right side only.
func ContainsJSON(outer, inner []byte) bool {
	switch {
	case !IsJSONContainer(inner):
		if JSONKind(outer) == '{' {
			return false
		}
		return !IsJSONContainer(outer) && equalJSON(outer, inner) || JSONKind(outer) == '[' && hasJSON(outer, inner)
	case !IsJSONContainer(outer):
		return false
	}
	return deepContains(outer, inner, 0)
}

// hasJSON looks for a scalar among the elements of an array.
func hasJSON(array, scalar []byte) (found bool) {
	JSONItems(array, func(_, v []byte) bool {
		found = !IsJSONContainer(v) && equalJSON(v, scalar)
		return !found
	})
	return found
}

func deepContains(outer, inner []byte, depth int) bool {
	if JSONKind(outer) != JSONKind(inner) || depth > maxJSONDepth {
		return false
	}
	all := true
	if JSONKind(inner) == '{' {
		var keys, values [][]byte
		JSONItems(outer, func(k, v []byte) bool {
			keys, values = append(keys, k), append(values, v)
			return true
		})
		next := 0 // both sides have their keys in one order
		JSONItems(inner, func(k, v []byte) bool {
			for next < len(keys) && !bytes.Equal(keys[next], k) {
				next++
			}
			all = next < len(keys) && (IsJSONContainer(v) && IsJSONContainer(values[next]) && deepContains(values[next], v, depth+1) ||
				!IsJSONContainer(v) && equalJSON(values[next], v))
			return all
		})
		return all
	}
	JSONItems(inner, func(_, v []byte) bool {
		if !IsJSONContainer(v) {
			all = hasJSON(outer, v)
			return all
		}
		all = false
		JSONItems(outer, func(_, o []byte) bool {
			all = IsJSONContainer(o) && deepContains(o, v, depth+1)
			return !all
		})
		return all
	})
	return all
}

// JSONHasKey is ?: a key of an object, a string in an array, or a lone string.
func JSONHasKey(s []byte, key string) (found bool) {
	quoted := QuoteJSON(key)
	switch JSONKind(s) {
	case '"':
		return string(s) == quoted
	case '{', '[':
		JSONItems(s, func(k, v []byte) bool {
			if k == nil {
				k = v
			}
			found = string(k) == quoted
			return !found
		})
	}
	return found
}

// JSONNodes is how many values a JSON text holds at most, itself included.
func JSONNodes(s []byte) int {
	n := 1
	for i := 0; i < len(s); i += jsonToken(s[i:]) {
		switch s[i] {
		case ',', '{', '[':
			n++
		}
	}
	return n
}
