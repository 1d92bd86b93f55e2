package predicate

import (
	"regexp"
	"strings"

	"github.com/shapebus/shapebus/internal/predicate/like"
	"github.com/shapebus/shapebus/internal/predicate/value"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

type (
	// foldExpr is lower() or upper() under COLLATE "C": of ASCII letters only.
	foldExpr struct {
		upper bool
		arg   scalar
	}

	// lengthExpr counts characters.
	lengthExpr struct{ arg scalar }

	// concatExpr joins texts: || is NULL if one of them is, concat() leaves those out.
	concatExpr struct {
		skipNull bool
		args     []scalar
	}

	// patternExpr is a LIKE pattern from a row: NULL if it ends with the escape character, where Postgres would raise an error.
	patternExpr struct{ arg scalar }

	// likeExprNode is text [I]LIKE pattern, both general expressions; match is set if the pattern is a constant.
	likeExprNode struct {
		text, pattern scalar
		fold          bool
		match         *like.Pattern
		buffers       like.Buffers
	}
)

// wholePattern matches patterns in which every escape character escapes something.
var wholePattern = regexp.MustCompile(`^([^\\]|\\(.|\n))*$`)

func (e *foldExpr) eval(row [][]byte) value.Datum {
	d := e.arg.eval(row)
	if d.Null {
		return d
	}
	if e.upper {
		out := make([]byte, len(d.Bytes))
		for i, c := range d.Bytes {
			if c >= 'a' && c <= 'z' {
				c -= 'a' - 'A'
			}
			out[i] = c
		}
		d.Bytes = out
	} else {
		d.Bytes = like.Fold(make([]byte, 0, len(d.Bytes)), d.Bytes)
	}
	return d
}

func (e *lengthExpr) eval(row [][]byte) value.Datum {
	d := e.arg.eval(row)
	if d.Null {
		return d
	}
	text := d.Bytes
	if e.arg.k == value.Bpchar {
		text = value.TrimBlanks(text)
	}
	return value.Datum{Int: characters(text)}
}

func (e *concatExpr) eval(row [][]byte) value.Datum {
	out := make([]byte, 0, 64)
	for _, a := range e.args {
		d := a.eval(row)
		switch {
		case !d.Null:
			out = append(out, d.Bytes...)
		case !e.skipNull:
			return value.Null
		}
	}
	return value.Datum{Bytes: out}
}

func (e *patternExpr) eval(row [][]byte) value.Datum {
	d := e.arg.eval(row)
	if !d.Null && !like.Complete(d.Bytes) {
		return value.Null
	}
	return d
}

func (n *likeExprNode) eval(row [][]byte) truth {
	text := n.text.eval(row)
	if text.Null {
		return isUnknown
	}
	if n.match != nil {
		return truthOf(n.match.Match(text.Bytes, &n.buffers))
	}
	pattern := n.pattern.eval(row)
	if pattern.Null {
		return isUnknown
	}
	if n.fold {
		text.Bytes, pattern.Bytes = like.Fold(nil, text.Bytes), like.Fold(nil, pattern.Bytes)
	}
	return truthOf(like.Match(text.Bytes, pattern.Bytes))
}

func (e *foldExpr) columns(add func(int))    { e.arg.columns(add) }
func (e *lengthExpr) columns(add func(int))  { e.arg.columns(add) }
func (e *concatExpr) columns(add func(int))  { columnsOf(e.args, add) }
func (e *patternExpr) columns(add func(int)) { e.arg.columns(add) }

func (n *likeExprNode) columns(add func(int)) {
	n.text.columns(add)
	n.pattern.columns(add)
}

func (e *foldExpr) print(p *printer) {
	if e.upper {
		p.WriteString("upper(")
	} else {
		p.WriteString("lower(")
	}
	p.collated(e.arg)
	p.WriteByte(')')
}

func (e *lengthExpr) print(p *printer) { p.call("length", e.arg) }

func (e *concatExpr) print(p *printer) {
	if e.skipNull {
		p.call("pg_catalog.concat", e.args...) // one of the user's could fit better
		return
	}
	p.WriteByte('(')
	for i, a := range e.args {
		if i > 0 {
			p.WriteString(" || ")
		}
		p.expr(a)
	}
	p.WriteByte(')')
}

func (e *patternExpr) print(p *printer) {
	p.WriteString("CASE WHEN ")
	p.expr(e.arg)
	p.WriteString(byteOrder + " ~ ")
	p.WriteString(quoteLiteral(wholePattern.String()))
	p.WriteString(" THEN ")
	p.expr(e.arg)
	p.WriteString(" END")
}

func (n *likeExprNode) print(p *printer) {
	p.collated(n.text)
	if n.fold {
		p.WriteString(" ILIKE ")
	} else {
		p.WriteString(" LIKE ")
	}
	p.expr(n.pattern)
}

// asText converts an operand to text, or char(n) kept as it is if padded.
func (b *builder) asText(t term) (scalar, *Error) {
	t, err := b.resolve(t, value.Text)
	if err != nil {
		return scalar{}, err
	}
	return b.scalar(t).convert(value.Text, t.pos)
}

func (b *builder) textFunction(c call) (term, *Error) {
	t, err := b.resolve(c.args[0], value.Text)
	if err != nil {
		return term{}, err
	}
	if !t.k.IsText() {
		c.args[0] = t
		return term{}, b.noFunction(c)
	}
	s := b.scalar(t)
	if c.name != "lower" && c.name != "upper" {
		return exprTerm(scalar{expr: &lengthExpr{s}, k: value.Int4, bounds: bounds{hi: 31}}, c.pos), nil
	}
	if s, err = s.convert(value.Text, t.pos); err != nil {
		return term{}, err
	}
	return exprTerm(scalar{expr: &foldExpr{c.name == "upper", s}, k: value.Text}, c.pos), nil
}

// maxJoined bounds how many texts a clause may join into one, since each may be large.
const maxJoined = 100

func (b *builder) concat(c call) (term, *Error) {
	var args []scalar
	for _, t := range c.args {
		t, err := b.resolve(t, value.Text)
		if err != nil {
			return term{}, err
		}
		s := b.scalar(t)
		switch s.k {
		case value.Bpchar: // keeps its padding
		case value.Bool: // prints as t and f
			return term{}, b.noFunction(c).withHint("cast booleans to text")
		default:
			if s, err = s.convert(value.Text, t.pos); err != nil {
				return term{}, err
			}
		}
		args = append(args, s)
	}
	if len(args) == 0 || len(args) > maxJoined {
		return term{}, &Error{Pos: c.pos, Message: "concat takes 1 to 100 arguments"}
	}
	return b.joined(&concatExpr{true, args}, c.pos)
}

func (b *builder) joined(e *concatExpr, pos int) (term, *Error) {
	if b.joins += len(e.args); b.joins > maxJoined {
		return term{}, &Error{Pos: pos, Message: "the clause joins more than 100 texts"}
	}
	return exprTerm(scalar{expr: e, k: value.Text}, pos), nil
}

// concatenate builds ||: of texts, where one side may be anything that has a text, or of arrays.
func (b *builder) concatenate(left, right term, pos int) (term, *Error) {
	switch {
	case left.k.IsArray() || right.k.IsArray():
		return b.joinArrays(left, right, pos)
	case left.k == value.JSONB || right.k == value.JSONB, left.k == value.Opaque, right.k == value.Opaque,
		!left.k.IsText() && !right.k.IsText() && left.k != value.Unknown && right.k != value.Unknown:
		return term{}, b.noOperator("||", left, right, pos)
	}
	l, err := b.asText(left)
	if err != nil {
		return term{}, err
	}
	r, err := b.asText(right)
	if err != nil {
		return term{}, err
	}
	return b.joined(&concatExpr{false, []scalar{l, r}}, pos)
}

// likeTerm is the operator form of LIKE.
func (b *builder) likeTerm(name string, left, right term, pos int) (term, *Error) {
	n, err := b.likeNode(left, right, strings.HasSuffix(name, "*"), pos)
	if err != nil {
		return term{}, err
	}
	if strings.HasPrefix(name, "!") {
		n = &notNode{n}
	}
	return term{form: formBool, k: value.Bool, bool: n, pos: pos}, nil
}

func (b *builder) likeFunction(c call) (term, *Error) {
	return b.likeTerm("~~", c.args[0], c.args[1], c.pos)
}

// likeNode builds text [I]LIKE pattern.
func (b *builder) likeNode(left, pattern term, fold bool, pos int) (node, *Error) {
	var err *Error
	if left, err = b.resolve(left, value.Text); err != nil {
		return nil, err
	}
	if pattern, err = b.resolve(pattern, value.Text); err != nil {
		return nil, err
	}
	if !left.k.IsText() || !pattern.k.IsText() {
		return nil, b.noOperator(map[bool]string{false: "~~", true: "~~*"}[fold], left, pattern, pos)
	}
	if pattern.form == formConst && !pattern.c.Null {
		return b.likeConst(left, pattern, fold)
	}
	if left.form == formConst && left.c.Null || pattern.form == formConst {
		return &literalNode{isUnknown}, nil
	}
	p, err := b.scalar(pattern).convert(value.Text, pattern.pos)
	if err != nil {
		return nil, err
	}
	if _, ok := p.expr.(*patternExpr); !ok {
		p = scalar{expr: &patternExpr{p}, k: value.Text}
	}
	return &likeExprNode{text: b.likeText(left), pattern: p, fold: fold}, nil
}

// likeText is the left side, which keeps the padding of char(n).
func (b *builder) likeText(t term) scalar { return b.scalar(t) }

func (b *builder) likeConst(left, pattern term, fold bool) (node, *Error) {
	if left.form == formConst && left.c.Null {
		return &literalNode{isUnknown}, nil
	}
	text := pattern.c.Text
	if pattern.k == value.Bpchar {
		text = strings.TrimRight(text, " ")
	}
	match, merr := like.Compile(text, fold)
	if merr != nil {
		return nil, inputAt(merr, pattern.pos, pattern.param)
	}
	switch left.form {
	case formColumn:
		return &likeNode{column: left.column, pattern: text, match: match}, nil
	case formConst:
		return &literalNode{truthOf(match.Match([]byte(left.c.Text), &like.Buffers{}))}, nil
	default: // an expression
		p := newConst(value.Constant{Kind: value.Text, Text: text})
		return &likeExprNode{text: b.likeText(left), pattern: p, fold: fold, match: &match}, nil
	}
}

// collate reads COLLATE "C", which is how all text is ordered anyway.
func (b *builder) collate(e *pg_query.CollateClause, pos, depth int) (term, *Error) {
	name := lastName(e.Collname)
	if name != "C" || len(e.Collname) > 2 {
		return term{}, (&Error{Pos: pos, Message: "COLLATE is not supported"}).withHint("text is always ordered by its bytes, as under COLLATE \"C\"")
	}
	t, err := b.term(e.Arg, depth+1)
	if err != nil {
		return term{}, err
	}
	if t.k != value.Unknown && !t.k.Element().IsText() {
		return term{}, &Error{Pos: pos, Message: "collations are not supported by type " + t.typeName(b)}
	}
	return t, nil
}
