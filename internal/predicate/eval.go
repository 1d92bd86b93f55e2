package predicate

import "github.com/shapebus/shapebus/internal/predicate/value"

// truth is the outcome of a three-valued test.
type truth int8

const (
	isFalse truth = iota
	isUnknown
	isTrue
)

func truthOf(b bool) truth {
	if b {
		return isTrue
	}
	return isFalse
}

// node is a boolean expression. Nodes are immutable and safe for concurrent use; eval must not keep the row.
type node interface {
	eval(row [][]byte) truth
	weigh(s sizes) float64 // what eval takes at most, in steps; see cost.go
	print(p *printer)
	columns(add func(column int))
}

// cell returns a column's text; a row that is too short reads as NULL.
func cell(row [][]byte, column int) []byte {
	if column < len(row) {
		return row[column]
	}
	return nil
}

// column is a reference, resolved.
type column struct {
	index            int
	name             string
	k                value.Kind
	nonDeterministic bool
	domain           bool
}
