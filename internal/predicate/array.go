package predicate

import (
	"bytes"
	"strconv"
	"strings"
)

// array is a value of an array type: its elements in storage order, and the dimensions they are laid out in; an empty array
// has none.
type array struct {
	dims     []dimension
	elements []datum
}

type dimension struct{ lower, length int }

// Limits of Postgres' arrays, and of constants here.
const (
	maxDims     = 6
	maxElements = 10_000
)

func newArray(elements []datum) *array {
	if len(elements) == 0 {
		return &array{}
	}
	return &array{[]dimension{{1, len(elements)}}, elements}
}

// arrayFromText parses what Postgres prints for a column.
func arrayFromText(element kind, text []byte) (*array, bool) {
	p := arrayParser{s: text, element: element, read: readDatum}
	return p.parse()
}

// arrayParser reads an array's text; read makes a value of an element's.
type arrayParser struct {
	s       []byte
	i       int
	element kind
	read    func(k kind, text []byte) (datum, bool)
	out     array
	lowers  []int
}

func (p *arrayParser) blanks() {
	for p.i < len(p.s) && strings.IndexByte(space, p.s[p.i]) >= 0 {
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

func (p *arrayParser) parse() (*array, bool) {
	decorated := false
	var lengths []int
	for p.accept('[') {
		end := bytes.IndexByte(p.s[p.i:], ']')
		if end < 0 || len(p.lowers) == maxDims {
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
	if len(p.out.elements) == 0 {
		return &array{}, !decorated && len(p.out.dims) == 1
	}
	if decorated {
		if len(lengths) != len(p.out.dims) {
			return nil, false
		}
		for i, d := range p.out.dims {
			if d.length != lengths[i] {
				return nil, false
			}
			p.out.dims[i].lower = p.lowers[i]
		}
	}
	return &p.out, true
}

// level reads what follows an opening brace, up to its closing one.
func (p *arrayParser) level(depth int) bool {
	if depth == maxDims {
		return false
	}
	first := len(p.out.dims) == depth
	if first {
		if len(p.out.elements) > 0 {
			return false // deeper here than where an element has been already
		}
		p.out.dims = append(p.out.dims, dimension{1, 0})
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
		case len(p.out.dims) != depth+1 || !p.scalar():
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
	d := &p.out.dims[depth]
	if first && d.length == 0 {
		d.length = n
	}
	return d.length == n
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
	text = bytes.TrimRight(p.s[start:p.i], space)
	if len(text) == 0 {
		return false
	}
	if len(text) == 4 && strings.EqualFold(string(text), "NULL") {
		p.out.elements = append(p.out.elements, nullDatum)
		return true
	}
	return p.add(text)
}

func (p *arrayParser) add(text []byte) bool {
	d, ok := p.read(p.element, text)
	p.out.elements = append(p.out.elements, d)
	return ok
}

// arrayText prints an array as Postgres does.
func arrayText(element kind, a *array) string {
	var b strings.Builder
	if len(a.elements) == 0 {
		return "{}"
	}
	decorated := false
	for _, d := range a.dims {
		decorated = decorated || d.lower != 1
	}
	if decorated {
		for _, d := range a.dims {
			b.WriteString("[" + strconv.Itoa(d.lower) + ":" + strconv.Itoa(d.lower+d.length-1) + "]")
		}
		b.WriteByte('=')
	}
	next := 0
	writeLevel(&b, element, a, 0, &next)
	return b.String()
}

func writeLevel(b *strings.Builder, element kind, a *array, depth int, next *int) {
	b.WriteByte('{')
	for i := range a.dims[depth].length {
		if i > 0 {
			b.WriteByte(',')
		}
		if depth < len(a.dims)-1 {
			writeLevel(b, element, a, depth+1, next)
			continue
		}
		d := &a.elements[*next]
		*next++
		if d.null {
			b.WriteString("NULL")
			continue
		}
		writeElement(b, string(datumText(element, d)))
	}
	b.WriteByte('}')
}

func writeElement(b *strings.Builder, text string) {
	if text != "" && !strings.EqualFold(text, "NULL") && !strings.ContainsAny(text, `{}",\`+space) {
		b.WriteString(text)
		return
	}
	b.WriteString(`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`)
}

// arrayConstant reads the text of an array constant and gives it its canonical form.
func arrayConstant(k kind, text string) (string, error) {
	var failed error
	p := arrayParser{s: []byte(text), element: k.element(), read: func(e kind, text []byte) (datum, bool) {
		c, err := parseConstant(e, string(text))
		if err != nil {
			failed = err
			return datum{}, false
		}
		return readDatum(e, []byte(c.text))
	}}
	a, ok := p.parse()
	switch {
	case failed != nil:
		return "", failed
	case !ok:
		return "", &inputError{message: "malformed array literal: " + quoteShort(text), hint: "arrays are written {1,2,3} or {a,\"b c\",NULL}"}
	case len(a.elements) > maxElements:
		return "", &inputError{message: "an array may have at most 10000 elements"}
	}
	return arrayText(k.element(), a), nil
}

// equalArrays compares dimensions and elements; NULL elements are equal.
func equalArrays(element kind) func(a, b *datum) int {
	compare := comparator(element, element)
	return func(a, b *datum) int {
		x, y := a.a, b.a
		if len(x.dims) != len(y.dims) || len(x.elements) != len(y.elements) {
			return 1
		}
		for i := range x.dims {
			if x.dims[i] != y.dims[i] {
				return 1
			}
		}
		for i := range x.elements {
			l, r := &x.elements[i], &y.elements[i]
			if l.null != r.null || !l.null && compare(l, r) != 0 {
				return 1
			}
		}
		return 0
	}
}

// contains reports whether every element of inner is one of a; NULL is never.
func (a *array) contains(inner *array, compare func(a, b *datum) int) bool {
	for i := range inner.elements {
		if !a.has(&inner.elements[i], compare) {
			return false
		}
	}
	return true
}

func (a *array) overlaps(other *array, compare func(a, b *datum) int) bool {
	for i := range other.elements {
		if a.has(&other.elements[i], compare) {
			return true
		}
	}
	return false
}

func (a *array) has(d *datum, compare func(a, b *datum) int) bool {
	if d.null {
		return false
	}
	for i := range a.elements {
		if e := &a.elements[i]; !e.null && compare(e, d) == 0 {
			return true
		}
	}
	return false
}

// joined appends an array with at most one dimension to another such.
func (a *array) joined(other *array) *array {
	switch {
	case len(a.elements) == 0:
		return other
	case len(other.elements) == 0:
		return a
	}
	elements := make([]datum, 0, len(a.elements)+len(other.elements))
	elements = append(append(elements, a.elements...), other.elements...)
	return &array{[]dimension{{a.dims[0].lower, len(elements)}}, elements}
}

// at returns the element with these subscripts, NULL if there is none.
func (a *array) at(subscripts []int64) datum {
	if len(subscripts) != len(a.dims) {
		return nullDatum
	}
	place := 0
	for i, d := range a.dims {
		n := subscripts[i] - int64(d.lower)
		if n < 0 || n >= int64(d.length) {
			return nullDatum
		}
		place = place*d.length + int(n)
	}
	return a.elements[place]
}

// slice returns the part between lower and upper in each dimension, with subscripts from 1.
func (a *array) slice(lower, upper []int64) *array {
	if len(a.dims) < len(lower) || len(a.elements) == 0 {
		return &array{}
	}
	out := &array{}
	var starts []int
	for i, d := range a.dims {
		from, to := int64(d.lower), int64(d.lower+d.length-1)
		if i < len(lower) {
			from, to = max(from, lower[i]), min(to, upper[i])
		}
		if from > to {
			return &array{}
		}
		starts = append(starts, int(from)-d.lower)
		out.dims = append(out.dims, dimension{1, int(to - from + 1)})
	}
	out.elements = a.cut(nil, out.dims, starts, 0, 0)
	return out
}

func (a *array) cut(elements []datum, dims []dimension, starts []int, depth, place int) []datum {
	for i := range dims[depth].length {
		at := place*a.dims[depth].length + starts[depth] + i
		if depth == len(dims)-1 {
			elements = append(elements, a.elements[at])
		} else {
			elements = a.cut(elements, dims, starts, depth+1, at)
		}
	}
	return elements
}
