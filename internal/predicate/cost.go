package predicate

import (
	"fmt"
	"math"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// A clause costs steps of about a nanosecond for a row, which are known from the sizes of the row's columns before it is
// evaluated: every node knows what it takes at most, and how large what comes of it is. So a clause that would hold up
// others is refused when it is compiled, and a row that is too large for its clause when it comes.

const (
	// maxStepsPerByte bounds what a clause costs for each byte of a row.
	maxStepsPerByte = 2000
	// maxFixedSteps bounds what it costs whatever the row holds.
	maxFixedSteps = 2_000_000
	// MaxSteps is what evaluating a clause for one change of a row may cost: 50 ms.
	MaxSteps = 50_000_000
)

// load is what an expression takes, and the size of its value in bytes, at most.
type load struct{ steps, bytes float64 }

// sizes are those of a row's columns, in bytes.
type sizes func(column int) float64

func ofRow(row [][]byte) sizes { return func(c int) float64 { return float64(len(cell(row, c))) } }

// widths are how many bytes columns have at most.
type widths []float64

func (t *Table) widths() widths {
	w := make(widths, len(t.Columns))
	for i := range w {
		w[i] = t.Columns[i].most()
	}
	return w
}

func (w widths) of(column int) float64 {
	if column < len(w) {
		return w[column]
	}
	return 0
}

// all are the sizes of a row of which each column has so many bytes, or as many as its type allows.
func (w widths) all(n float64) sizes {
	return func(c int) float64 { return math.Min(n, w.of(c)) }
}

func (w widths) only(column int, n float64) sizes {
	return func(c int) float64 {
		if c == column {
			return n
		}
		return math.Min(smallColumn, w.of(c))
	}
}

// smallColumn is the size up to which a column counts with what a clause costs whatever the row holds.
const smallColumn = 128

// most is how many bytes the column has at most.
func (col Column) most() float64 {
	if len(col.Enum) > 0 {
		return smallColumn
	}
	const header, character, sign = 4, 4, 3
	switch k, _ := value.KindOfOID(col.TypeOID); {
	case k == value.Bool:
		return 1
	case k.IsInt(), k.IsFloat(), k == value.UUID, k.IsTime(), k == value.Interval, k == value.OID, k == value.Name, k.IsNetwork(), k == value.MACAddr, k == value.MACAddr8,
		k.IsRange() && k != value.NumRange:
		return smallColumn
	case k == value.Numeric && col.TypeMod >= header:
		return float64((col.TypeMod-header)>>16) + sign
	case (k == value.Varchar || k == value.Bpchar) && col.TypeMod >= header:
		return character * float64(col.TypeMod-header)
	}
	return math.Inf(1)
}

// Steps is what evaluating the clause for a row costs at most.
func (p *Predicate) Steps(row [][]byte) float64 { return p.root.weigh(ofRow(row)) }

// Carefree is a size in bytes: changes whose old and new row together are not larger cost at most MaxSteps,
// whatever the columns are that the bytes are in.
func (p *Predicate) Carefree() int { return p.carefree }

// checkCost finds out what a clause costs, and refuses one that costs too much.
func (p *Predicate) checkCost(t *Table) *Error {
	const sample = 256 // bytes; what grows faster than its row is bounded when the row comes
	w := t.widths()
	fixed := p.root.weigh(w.all(0))
	if small := p.root.weigh(w.only(-1, 0)); small > fixed {
		fixed = small
	}
	if fixed > maxFixedSteps {
		return &Error{Message: fmt.Sprintf("the clause is too much work: about %.0f µs for every row, at most %d are allowed", fixed/1000, maxFixedSteps/1000), Hint: "ask for less in one shape"}
	}
	if all := (p.root.weigh(w.all(sample)) - fixed) / (sample - smallColumn); all > maxStepsPerByte {
		if err := p.tooDear(t, w, sample, fixed); err != nil {
			return err
		}
	}
	p.carefree = p.carefreeSize(w)
	return nil
}

// tooDear says which column's bytes cost too much, or that all columns' together do; nil if neither do.
func (p *Predicate) tooDear(t *Table, w widths, sample, fixed float64) *Error {
	used := map[int]bool{}
	p.root.columns(func(c int) { used[c] = used[c] || c < len(t.Columns) })
	for c := range t.Columns {
		if !used[c] || w.of(c) <= smallColumn {
			continue
		}
		if per := (p.root.weigh(w.only(c, sample)) - fixed) / (sample - smallColumn); per > maxStepsPerByte {
			return &Error{
				Message: fmt.Sprintf("the clause is too much work: about %.0f ns for every byte of column %s, at most %d are allowed", per, quoteIdent(t.Columns[c].Name), maxStepsPerByte),
				Hint:    "ask for less in one shape: fewer patterns, fewer members of arrays, fewer tests of one document",
			}
		}
	}
	if all := (p.root.weigh(w.all(sample)) - fixed) / ((sample - smallColumn) * float64(max(1, len(used)))); all > maxStepsPerByte {
		return &Error{
			Message: fmt.Sprintf("the clause is too much work: about %.0f ns for every byte of a row, at most %d are allowed", all, maxStepsPerByte),
			Hint:    "ask for less in one shape: fewer comparisons of large columns with each other",
		}
	}
	return nil
}

// carefreeSize tries powers of two: what a row costs grows with each of its columns. An op has two rows.
func (p *Predicate) carefreeSize(w widths) int {
	const most = 1 << 40
	n := 1
	for n < most && 2*p.root.weigh(w.all(float64(2*n))) <= MaxSteps {
		n *= 2
	}
	return n
}

// What the parts of an evaluation take, in steps.
const (
	visit      = 5   // of a node
	look       = 20  // a search step, or a comparison of two values at hand
	perCopied  = 0.5 // per byte
	perText    = 0.2 // comparing texts
	perRead    = 3   // reading a number or a time
	perArray   = 50  // reading an array: an element of two bytes becomes a value
	perJSON    = 3   // finding one's way in a document
	perElement = 8   // comparing two elements
	perRegexp  = 30
	perSquare  = 0.002 // of the digits of a numeric, which are multiplied, read and printed with each other
)

// readSteps is what reading a column's value takes for each byte.
func readSteps(k value.Kind) float64 {
	switch {
	case k.IsArray():
		return perArray
	case k.IsText(), k.IsRange(), k == value.JSONB, k.HasUniqueText() && !k.IsInt(), k.IsNetwork(), k.IsOpaque():
		return 0
	}
	return perRead
}

// elements is how many an array has at most; they take two bytes each.
func elements(s *scalar, l load) float64 {
	if c, ok := s.expr.(*constExpr); ok && c.value.Array != nil {
		return float64(len(c.value.Array.Elements))
	}
	return l.bytes/2 + 1
}

// comparing is what comparing two values of a kind takes.
func comparing(k value.Kind, l, r load) float64 {
	small := math.Min(l.bytes, r.bytes)
	switch {
	case k.IsArray():
		return look + perElement*small/2
	case k == value.JSONB:
		return look + perJSON*small
	case k == value.Numeric, k == value.NumRange:
		return look + perRead*(l.bytes+r.bytes)
	}
	return look + perText*small
}

func weighAll(args []scalar, s sizes) (sum load, largest float64) {
	for i := range args {
		if args[i].expr == nil {
			continue
		}
		l := args[i].weigh(s)
		sum.steps, sum.bytes, largest = sum.steps+l.steps, sum.bytes+l.bytes, math.Max(largest, l.bytes)
	}
	return sum, largest
}
