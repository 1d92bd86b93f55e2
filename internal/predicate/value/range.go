package value

import (
	"bytes"
	"cmp"
	"math"
	"strconv"
	"strings"
)

// Range is a value of a range type. A bound that is not there is open.
type Range struct {
	Empty        bool
	Lower, Upper RangeBound
}

// RangeBound is one end of a range.
type RangeBound struct {
	Open, Inclusive bool
	Value           Datum
}

// RangeFromText parses what Postgres prints for a column. Bounds are in quotes where they have blanks; nothing in them
// needs an escape.
func RangeFromText(k Kind, text []byte, r *Range) bool {
	*r = Range{}
	if string(text) == "empty" {
		r.Empty = true
		return true
	}
	comma := bytes.IndexByte(text, ',')
	if len(text) < 3 || comma < 1 {
		return false
	}
	last := len(text) - 1
	r.Lower.Inclusive, r.Upper.Inclusive = text[0] == '[', text[last] == ']'
	return r.Lower.read(k, text[1:comma]) && r.Upper.read(k, text[comma+1:last])
}

func (b *RangeBound) read(k Kind, text []byte) (ok bool) {
	if len(text) == 0 {
		b.Open = true
		return true
	}
	if text[0] == '"' && len(text) > 1 {
		text = text[1 : len(text)-1]
	}
	b.Value, ok = ReadDatum(k.RangeElement(), text)
	return ok
}

// HasElement reports whether a value is within the range.
func (r *Range) HasElement(k Kind, d *Datum) bool {
	if r.Empty {
		return false
	}
	if !r.Lower.Open {
		if c := compareElements(k, &r.Lower.Value, d); c > 0 || c == 0 && !r.Lower.Inclusive {
			return false
		}
	}
	if !r.Upper.Open {
		if c := compareElements(k, &r.Upper.Value, d); c < 0 || c == 0 && !r.Upper.Inclusive {
			return false
		}
	}
	return true
}

// Contains reports whether all of inner is within the range.
func (r *Range) Contains(k Kind, inner *Range) bool {
	switch {
	case inner.Empty:
		return true
	case r.Empty:
		return false
	}
	return compareLowers(k, &r.Lower, &inner.Lower) <= 0 && compareUppers(k, &r.Upper, &inner.Upper) >= 0
}

// Overlaps reports whether the ranges have a value in common.
func (r *Range) Overlaps(k Kind, other *Range) bool {
	return !r.Empty && !other.Empty && reaches(k, &r.Lower, &other.Upper) && reaches(k, &other.Lower, &r.Upper)
}

// reaches reports whether a lower bound is not beyond an upper one.
func reaches(k Kind, lower, upper *RangeBound) bool {
	if lower.Open || upper.Open {
		return true
	}
	c := compareElements(k, &lower.Value, &upper.Value)
	return c < 0 || c == 0 && lower.Inclusive && upper.Inclusive
}

func compareElements(k Kind, a, b *Datum) int {
	if k == NumRange {
		return compareNumeric(a, b)
	}
	return compareInt(a.Int, b.Int)
}

// compareLowers orders by where a range begins: an open bound before all, an inclusive one before an exclusive one.
func compareLowers(k Kind, a, b *RangeBound) int {
	if a.Open || b.Open {
		return cmp.Compare(openness(b), openness(a))
	}
	if c := compareElements(k, &a.Value, &b.Value); c != 0 || a.Inclusive == b.Inclusive {
		return c
	}
	if a.Inclusive {
		return -1
	}
	return 1
}

// compareUppers orders by where a range ends.
func compareUppers(k Kind, a, b *RangeBound) int {
	if a.Open || b.Open {
		return cmp.Compare(openness(a), openness(b))
	}
	if c := compareElements(k, &a.Value, &b.Value); c != 0 || a.Inclusive == b.Inclusive {
		return c
	}
	if a.Inclusive {
		return 1
	}
	return -1
}

func openness(b *RangeBound) int {
	if b.Open {
		return 1
	}
	return 0
}

// compareRanges tells equal ranges, and orders others in some way.
func compareRanges(k Kind) func(a, b *Datum) int {
	if k != NumRange { // their texts are canonical
		return CompareBytes
	}
	return func(a, b *Datum) int {
		var x, y Range
		if !RangeFromText(k, a.Bytes, &x) || !RangeFromText(k, b.Bytes, &y) || x.Empty || y.Empty {
			return bytes.Compare(a.Bytes, b.Bytes)
		}
		return cmp.Or(compareLowers(k, &x.Lower, &y.Lower), compareUppers(k, &x.Upper, &y.Upper))
	}
}

// rangeText reads a constant as range_in does, and prints it as range_out does.
func rangeText(k Kind, text string) (string, error) {
	bad := &InputError{Message: "malformed range literal: " + QuoteShort(text), Hint: "ranges are written [1,5), (,5] or empty; a bound with blanks stands in double quotes"}
	s := strings.Trim(text, Space)
	if strings.EqualFold(s, "empty") {
		return "empty", nil
	}
	if len(s) < 3 || s[0] != '[' && s[0] != '(' {
		return "", bad
	}
	lower, rest, lowerSet, ok := boundText(s[1:], ',')
	if !ok {
		return "", bad
	}
	upper, rest, upperSet, ok := boundText(rest, ']')
	if !ok || rest != "" {
		return "", bad
	}
	closing := s[len(s)-1]
	var r Range
	r.Lower.Open, r.Upper.Open = !lowerSet, !upperSet
	r.Lower.Inclusive, r.Upper.Inclusive = lowerSet && s[0] == '[', upperSet && closing == ']'
	for _, b := range []struct {
		*RangeBound

		text string
	}{{&r.Lower, lower}, {&r.Upper, upper}} {
		if b.Open {
			continue
		}
		c, err := ParseConstant(k.RangeElement(), b.text)
		if err != nil {
			return "", err
		}
		b.Value, _ = ReadDatum(k.RangeElement(), []byte(c.Text)) // canonical
	}
	if !r.Lower.Open && !r.Upper.Open && compareElements(k, &r.Lower.Value, &r.Upper.Value) > 0 {
		return "", &InputError{Message: "range lower bound must be less than or equal to range upper bound: " + QuoteShort(text)}
	}
	if !reaches(k, &r.Lower, &r.Upper) {
		return "empty", nil
	}
	if !r.Lower.step(k, r.Lower.Inclusive) || !r.Upper.step(k, !r.Upper.Inclusive) {
		return "", OutOfRange(k, text)
	}
	if !reaches(k, &r.Lower, &r.Upper) {
		return "empty", nil
	}
	return r.text(k), nil
}

// isPlainRange reports whether a range of numbers as range_out prints it is canonical for what can be seen at once: both
// bounds are short, and no fraction ends with zeros, which mean nothing. Of others it says false.
func isPlainRange(text []byte) bool {
	if len(text) < 3 || len(text) > 20 {
		return false
	}
	fraction := false
	for i, c := range text[1:] {
		switch {
		case c >= '0' && c <= '9' || c == '-':
		case c == '.':
			fraction = true
		case c == ',', c == ']', c == ')':
			if fraction && text[i] == '0' { // the one before
				return false
			}
			fraction = false
		default:
			return false
		}
	}
	return true
}

// boundText cuts a bound off, up to a comma or to a closing bracket. A bound is not set where nothing stands, not even quotes.
func boundText(s string, end byte) (bound, rest string, set, ok bool) {
	var out strings.Builder
	quoted := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\':
			if i++; i == len(s) {
				return "", "", false, false
			}
			out.WriteByte(s[i])
			set = true
		case c == '"':
			if quoted && i+1 < len(s) && s[i+1] == '"' {
				out.WriteByte('"')
				i++
				continue
			}
			quoted, set = !quoted, true
		case !quoted && (c == end || end == ']' && c == ')'):
			return out.String(), s[i+1:], set, true
		case !quoted && strings.IndexByte(",()[]", c) >= 0:
			return "", "", false, false
		default:
			out.WriteByte(c)
			set = true
		}
	}
	return "", "", false, false
}

// step gives the bound of a discrete range its canonical form, [a,b): what is not as it should be moves to the next value,
// except for the infinities. False if there is none.
func (b *RangeBound) step(k Kind, right bool) bool {
	last := int64(math.MaxInt64)
	switch k {
	case Int4Range:
		last = math.MaxInt32
	case Int8Range:
	case DateRange:
		last = endDay - 1
	default: // not discrete
		return true
	}
	if b.Open || right || k == DateRange && IsInfinite(b.Value.Int) {
		return true
	}
	if b.Value.Int == last {
		return false
	}
	b.Value.Int++
	b.Inclusive = !b.Inclusive
	return true
}

func (r *Range) text(k Kind) string {
	if r.Empty {
		return "empty"
	}
	var out strings.Builder
	out.WriteByte(map[bool]byte{true: '[', false: '('}[r.Lower.Inclusive])
	out.WriteString(r.Lower.text(k))
	out.WriteByte(',')
	out.WriteString(r.Upper.text(k))
	out.WriteByte(map[bool]byte{true: ']', false: ')'}[r.Upper.Inclusive])
	return out.String()
}

func (b *RangeBound) text(k Kind) string {
	if b.Open {
		return ""
	}
	text := string(TextOf(k.RangeElement(), &b.Value))
	if strings.ContainsAny(text, " ") {
		return strconv.Quote(text)
	}
	return text
}
