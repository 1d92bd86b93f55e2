package predicate

import (
	"math"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

func (e *columnExpr) weigh(s sizes) load {
	size := s(e.column.index)
	steps := visit + readSteps(e.column.k)*size
	if e.guarded && e.column.k == value.Numeric {
		steps += perRead * size
	}
	return load{steps, size}
}

func (e *constExpr) weigh(sizes) load {
	return load{visit, float64(max(len(e.c.Text), len(e.value.Bytes)))}
}

func (e *conditionExpr) weigh(s sizes) load { return load{visit + e.arg.weigh(s), 1} }

func (e *coalesceExpr) weigh(s sizes) load {
	sum, largest := weighAll(e.args, s)
	return load{visit + sum.steps, largest}
}

func (e *caseExpr) weigh(s sizes) load {
	sum, largest := weighAll(e.then, s)
	other := e.otherwise.weigh(s)
	return load{weighNodes(e.when, s) + sum.steps + other.steps, math.Max(largest, other.bytes)}
}

func (e *extremeExpr) weigh(s sizes) load {
	sum, largest := weighAll(e.args, s)
	return load{visit + sum.steps + float64(len(e.args))*(e.scan+comparing(e.args[0].k, load{bytes: largest}, load{bytes: largest})), largest}
}

// textOf is the size of what else than text is as a text, and numberOf that of a number.
const textOf, numberOf = 64, 20

func (e *castExpr) weigh(s sizes) load {
	a := e.arg.weigh(s)
	per := float64(perRead)
	if e.to.IsArray() || e.arg.k.IsArray() {
		per = perArray
	}
	if e.to == value.Numeric && !e.arg.k.IsText() {
		return load{look + a.steps + per*a.bytes, numberOf + a.bytes}
	}
	return load{look + a.steps + per*a.bytes, textOf + 2*a.bytes}
}

func (e *textCastExpr) weigh(s sizes) load {
	a := e.arg.weigh(s)
	return load{10*look + a.steps + 2*perRead*a.bytes + perRegexp*math.Min(a.bytes, longestCast), a.bytes}
}

func (e *narrowExpr) weigh(s sizes) load {
	a := e.arg.weigh(s)
	steps := look + a.steps + perRead*a.bytes
	if e.arg.k == value.Numeric {
		steps += perSquare * a.bytes * a.bytes
	}
	return load{steps, a.bytes}
}

func (e *patternExpr) weigh(s sizes) load {
	a := e.arg.weigh(s)
	return load{visit + a.steps + a.bytes, a.bytes}
}

func (e *callExpr) weigh(s sizes) load {
	first := e.args[0].weigh(s) // once: what weighs its parts twice takes exponential time
	rest, _ := weighAll(e.args[1:], s)
	steps := 2*look + first.steps + rest.steps + e.cost.perByte*first.bytes + e.cost.perArgument*(first.bytes+rest.bytes) + e.cost.perSquare*first.bytes*first.bytes
	return load{steps, e.cost.times*first.bytes + e.cost.bytes}
}

func (e *foldExpr) weigh(s sizes) load {
	a := e.arg.weigh(s)
	return load{look + a.steps + 2*a.bytes, a.bytes}
}

func (e *lengthExpr) weigh(s sizes) load {
	a := e.arg.weigh(s)
	return load{visit + a.steps + a.bytes, 8}
}

func (e *concatExpr) weigh(s sizes) load {
	sum, _ := weighAll(e.args, s)
	return load{look + sum.steps + perCopied*sum.bytes, sum.bytes}
}

// element is what an element of an array takes in memory, and so how long making one takes.
const element = 50

func (e *arrayExpr) weigh(s sizes) load {
	sum, _ := weighAll(e.elements, s)
	return load{look + sum.steps + element*float64(len(e.elements)), sum.bytes + 2*float64(len(e.elements))}
}

func (e *flatExpr) weigh(s sizes) load {
	a := e.arg.weigh(s)
	return load{visit + a.steps, a.bytes}
}

func (e *joinExpr) weigh(s sizes) load {
	l, r := e.left.weigh(s), e.right.weigh(s)
	n := elements(&e.left, l) + elements(&e.right, r)
	return load{look + l.steps + r.steps + element*n, l.bytes + r.bytes + 2}
}

func (e *subscriptExpr) weigh(s sizes) load {
	a := e.array.weigh(s)
	lower, _ := weighAll(e.lower, s)
	upper, _ := weighAll(e.upper, s)
	steps := look + a.steps + lower.steps + upper.steps
	if e.slice {
		steps += element * elements(&e.array, a)
	}
	return load{steps, a.bytes}
}

func (e *dimsExpr) weigh(s sizes) load { return load{visit + e.arg.weigh(s).steps, 8} }

func (e *jsonGetExpr) weigh(s sizes) load {
	j, key := e.json.weigh(s), e.key.weigh(s)
	times := 2.0 // a place is counted from the end, too
	if e.key.k.IsArray() {
		times *= elements(&e.key, key)
	}
	return load{look + j.steps + key.steps + times*(look+perJSON*j.bytes), j.bytes}
}

func (e *jsonLengthExpr) weigh(s sizes) load {
	a := e.arg.weigh(s)
	return load{look + a.steps + perJSON*a.bytes, 8}
}

// weigh is that of long numbers where they are numeric: their digits are multiplied, and printed, with each other.
func (e *arithExpr) weigh(s sizes) load {
	l, r := e.left.weigh(s), e.right.weigh(s)
	steps := visit + l.steps + r.steps
	if e.k != value.Numeric {
		return load{steps, 8}
	}
	const digits, rest = 5, 40 // of a division's result, beside those of its operands
	size := l.bytes + r.bytes
	steps += 10*look + digits*size + perSquare*size*size
	switch e.op {
	case '+', '-':
		size = math.Max(l.bytes, r.bytes) + 1
	case '*':
	default:
		size += rest
	}
	return load{steps, size}
}

func (e *unaryExpr) weigh(s sizes) load {
	a := e.arg.weigh(s)
	if e.k != value.Numeric {
		return load{visit + a.steps, a.bytes}
	}
	return load{5*look + a.steps + 2*perRead*a.bytes + perSquare*a.bytes*a.bytes, a.bytes + 1}
}

func (e *sqrtExpr) weigh(s sizes) load { return load{look + e.arg.weigh(s).steps, 8} }

func (e *nullifExpr) weigh(s sizes) load {
	left, right := e.left.weigh(s), e.right.weigh(s)
	return load{visit + left.steps + right.steps + comparing(e.left.k, left, right), left.bytes}
}

func (e *temporalExpr) weigh(s sizes) load {
	return load{5*look + e.left.weigh(s).steps + e.right.weigh(s).steps, 16}
}

func (e *mapExpr) weigh(s sizes) load          { return load{5*look + e.arg.weigh(s).steps, 16} }
func (e *intervalSignExpr) weigh(s sizes) load { return load{visit + e.arg.weigh(s).steps, 16} }
