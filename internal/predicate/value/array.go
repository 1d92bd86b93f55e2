package value

import (
	"bytes"
	"strconv"
	"strings"
)

// Array is a value of an array type: its elements in storage order, and the dimensions they are laid out in; an empty array
// has none.
type Array struct {
	Dims     []Dimension
	Elements []Datum
}

// Dimension is one dimension of an array: its first subscript, and how many there are.
type Dimension struct{ Lower, Length int }

// Limits of Postgres' arrays, and of constants here.
const (
	MaxDims     = 6
	maxElements = 10_000
)

// NewArray makes an array of one dimension.
func NewArray(elements []Datum) *Array {
	if len(elements) == 0 {
		return &Array{}
	}
	return &Array{[]Dimension{{1, len(elements)}}, elements}
}

// ArrayFromText parses what Postgres prints for a column.
func ArrayFromText(element Kind, text []byte) (*Array, bool) {
	p := arrayParser{s: text, element: element, read: ReadDatum}
	p.out.Elements = make([]Datum, 0, 1+bytes.Count(text, []byte{','}))
	return p.parse()
}

// arrayParser reads an array's text; read makes a value of an element's.
type arrayParser struct {
	s       []byte
	i       int
	element Kind
	read    func(k Kind, text []byte) (Datum, bool)
	out     Array
	lowers  []int
}

func (p *arrayParser) blanks() {
	for p.i < len(p.s) && strings.IndexByte(Space, p.s[p.i]) >= 0 {
		p.i++
	}
}

func (p *arrayParser) accept(c byte) bool {
	p.blanks()
	if p.i < len(p.s) && p.s[p.i] == c {
		p.i++
		return true
	}
	return false
}

func (p *arrayParser) parse() (*Array, bool) {
	decorated := false
	var lengths []int
	for p.accept('[') {
		end := bytes.IndexByte(p.s[p.i:], ']')
		if end < 0 || len(p.lowers) == MaxDims {
			return nil, false
		}
		lower, upper, isRange := strings.Cut(string(p.s[p.i:p.i+end]), ":")
		l, err := strconv.ParseInt(lower, 10, 32)
		u, uerr := strconv.ParseInt(upper, 10, 32)
		if err != nil || uerr != nil || !isRange || u < l || u == 1<<31-1 {
			return nil, false
		}
		p.lowers, lengths = append(p.lowers, int(l)), append(lengths, int(u-l+1))
		p.i += end + 1
		decorated = true
	}
	if decorated && !p.accept('=') {
		return nil, false
	}
	if !p.accept('{') || !p.level(0) {
		return nil, false
	}
	p.blanks()
	if p.i != len(p.s) {
		return nil, false
	}
	if len(p.out.Elements) == 0 {
		return &Array{}, !decorated && len(p.out.Dims) == 1
	}
	if decorated {
		if len(lengths) != len(p.out.Dims) {
			return nil, false
		}
		for i, d := range p.out.Dims {
			if d.Length != lengths[i] {
				return nil, false
			}
			p.out.Dims[i].Lower = p.lowers[i]
		}
	}
	return &p.out, true
}

// level reads what follows an opening brace, up to its closing one.
func (p *arrayParser) level(depth int) bool {
	if depth == MaxDims {
		return false
	}
	first := len(p.out.Dims) == depth
	if first {
		if len(p.out.Elements) > 0 {
			return false // deeper here than where an element has been already
		}
		p.out.Dims = append(p.out.Dims, Dimension{1, 0})
	}
	if p.accept('}') {
		return p.closed(depth, first, 0)
	}
	for n := 1; ; n++ {
		switch {
		case p.accept('{'):
			if !p.level(depth + 1) {
				return false
			}
		case len(p.out.Dims) != depth+1 || !p.scalar():
			return false
		}
		if p.accept('}') {
			return p.closed(depth, first, n)
		}
		if !p.accept(',') {
			return false
		}
	}
}

func (p *arrayParser) closed(depth int, first bool, n int) bool {
	d := &p.out.Dims[depth]
	if first && d.Length == 0 {
		d.Length = n
	}
	return d.Length == n
}

// scalar reads one element, quoted or not.
func (p *arrayParser) scalar() bool {
	p.blanks()
	var text []byte
	start := p.i
	if p.accept('"') {
		for {
			if p.i >= len(p.s) {
				return false
			}
			c := p.s[p.i]
			p.i++
			if c == '"' {
				break
			}
			if c == '\\' {
				if p.i >= len(p.s) {
					return false
				}
				c = p.s[p.i]
				p.i++
			}
			text = append(text, c)
		}
		if text == nil {
			text = []byte{}
		}
		return p.add(text)
	}
	for p.i < len(p.s) && strings.IndexByte(`,{}"\`, p.s[p.i]) < 0 {
		p.i++
	}
	text = bytes.TrimRight(p.s[start:p.i], Space)
	if len(text) == 0 {
		return false
	}
	if len(text) == 4 && strings.EqualFold(string(text), "NULL") {
		p.out.Elements = append(p.out.Elements, Null)
		return true
	}
	return p.add(text)
}

func (p *arrayParser) add(text []byte) bool {
	d, ok := p.read(p.element, text)
	p.out.Elements = append(p.out.Elements, d)
	return ok
}

// ArrayText prints an array as Postgres does.
func ArrayText(element Kind, a *Array) string {
	var b strings.Builder
	if len(a.Elements) == 0 {
		return "{}"
	}
	decorated := false
	for _, d := range a.Dims {
		decorated = decorated || d.Lower != 1
	}
	if decorated {
		for _, d := range a.Dims {
			b.WriteString("[" + strconv.Itoa(d.Lower) + ":" + strconv.Itoa(d.Lower+d.Length-1) + "]")
		}
		b.WriteByte('=')
	}
	next := 0
	writeLevel(&b, element, a, 0, &next)
	return b.String()
}

func writeLevel(b *strings.Builder, element Kind, a *Array, depth int, next *int) {
	b.WriteByte('{')
	for i := range a.Dims[depth].Length {
		if i > 0 {
			b.WriteByte(',')
		}
		if depth < len(a.Dims)-1 {
			writeLevel(b, element, a, depth+1, next)
			continue
		}
		d := &a.Elements[*next]
		*next++
		if d.Null {
			b.WriteString("NULL")
			continue
		}
		writeElement(b, string(TextOf(element, d)))
	}
	b.WriteByte('}')
}

func writeElement(b *strings.Builder, text string) {
	if text != "" && !strings.EqualFold(text, "NULL") && !strings.ContainsAny(text, `{}",\`+Space) {
		b.WriteString(text)
		return
	}
	b.WriteString(`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`)
}

// arrayConstant reads the text of an array constant and gives it its canonical form.
func arrayConstant(k Kind, text string) (string, error) {
	var failed error
	p := arrayParser{s: []byte(text), element: k.Element(), read: func(e Kind, text []byte) (Datum, bool) {
		c, err := ParseConstant(e, string(text))
		if err != nil {
			failed = err
			return Datum{}, false
		}
		return ReadDatum(e, []byte(c.Text))
	}}
	a, ok := p.parse()
	switch {
	case failed != nil:
		return "", failed
	case !ok:
		return "", &InputError{Message: "malformed array literal: " + QuoteShort(text), Hint: "arrays are written {1,2,3} or {a,\"b c\",NULL}"}
	case len(a.Elements) > maxElements:
		return "", &InputError{Message: "an array may have at most 10000 elements"}
	}
	return ArrayText(k.Element(), a), nil
}

// EqualArrays compares dimensions and elements; NULL elements are equal.
func EqualArrays(element Kind) func(a, b *Datum) int {
	compare := Comparator(element, element)
	return func(a, b *Datum) int {
		x, y := a.Array, b.Array
		if len(x.Dims) != len(y.Dims) || len(x.Elements) != len(y.Elements) {
			return 1
		}
		for i := range x.Dims {
			if x.Dims[i] != y.Dims[i] {
				return 1
			}
		}
		for i := range x.Elements {
			l, r := &x.Elements[i], &y.Elements[i]
			if l.Null != r.Null || !l.Null && compare(l, r) != 0 {
				return 1
			}
		}
		return 0
	}
}

// Contains reports whether every element of inner is one of a; NULL is never.
func (a *Array) Contains(inner *Array, compare func(a, b *Datum) int) bool {
	for i := range inner.Elements {
		if !a.has(&inner.Elements[i], compare) {
			return false
		}
	}
	return true
}

// Overlaps reports whether the arrays have an element in common.
func (a *Array) Overlaps(other *Array, compare func(a, b *Datum) int) bool {
	for i := range other.Elements {
		if a.has(&other.Elements[i], compare) {
			return true
		}
	}
	return false
}

func (a *Array) has(d *Datum, compare func(a, b *Datum) int) bool {
	if d.Null {
		return false
	}
	for i := range a.Elements {
		if e := &a.Elements[i]; !e.Null && compare(e, d) == 0 {
			return true
		}
	}
	return false
}

// Joined appends an array with at most one dimension to another such.
func (a *Array) Joined(other *Array) *Array {
	switch {
	case len(a.Elements) == 0:
		return other
	case len(other.Elements) == 0:
		return a
	}
	elements := make([]Datum, 0, len(a.Elements)+len(other.Elements))
	elements = append(append(elements, a.Elements...), other.Elements...)
	return &Array{[]Dimension{{a.Dims[0].Lower, len(elements)}}, elements}
}

// At returns the element with these subscripts, NULL if there is none.
func (a *Array) At(subscripts []int64) Datum {
	if len(subscripts) != len(a.Dims) {
		return Null
	}
	place := 0
	for i, d := range a.Dims {
		n := subscripts[i] - int64(d.Lower)
		if n < 0 || n >= int64(d.Length) {
			return Null
		}
		place = place*d.Length + int(n)
	}
	return a.Elements[place]
}

// Slice returns the part between lower and upper in each dimension, with subscripts from 1.
func (a *Array) Slice(lower, upper []int64) *Array {
	if len(a.Dims) < len(lower) || len(a.Elements) == 0 {
		return &Array{}
	}
	out := &Array{}
	var starts []int
	for i, d := range a.Dims {
		from, to := int64(d.Lower), int64(d.Lower+d.Length-1)
		if i < len(lower) {
			from, to = max(from, lower[i]), min(to, upper[i])
		}
		if from > to {
			return &Array{}
		}
		starts = append(starts, int(from)-d.Lower)
		out.Dims = append(out.Dims, Dimension{1, int(to - from + 1)})
	}
	out.Elements = a.cut(nil, out.Dims, starts, 0, 0)
	return out
}

func (a *Array) cut(elements []Datum, dims []Dimension, starts []int, depth, place int) []Datum {
	for i := range dims[depth].Length {
		at := place*a.Dims[depth].Length + starts[depth] + i
		if depth == len(dims)-1 {
			elements = append(elements, a.Elements[at])
		} else {
			elements = a.cut(elements, dims, starts, depth+1, at)
		}
	}
	return elements
}
