package predicate

import (
	"fmt"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// caseTerm builds a CASE, or reads one that the printer wrote around something that could fail. The printer's own have no
// ELSE, the others always have one when they are printed.
func (b *builder) caseTerm(e *pg_query.CaseExpr, pos, depth int) (term, *Error) {
	if b.maybeGuard(e) {
		if t, ok, err := b.guardTerm(e, pos, depth); ok || err != nil {
			return t, err
		}
	}
	if len(e.Args) > maxList {
		return term{}, &Error{Pos: pos, Message: fmt.Sprintf("the CASE has %d branches, at most %d are allowed", len(e.Args), maxList)}
	}
	var subject term
	if e.Arg != nil {
		var err *Error
		if subject, err = b.term(e.Arg, depth+1); err != nil {
			return term{}, err
		}
		if subject, err = b.resolve(subject, value.Text); err != nil {
			return term{}, err
		}
	}
	out := &caseExpr{}
	results := make([]term, 1, len(e.Args)+1) // what ELSE gives comes first when their type is chosen
	for _, a := range e.Args {
		when := a.GetCaseWhen()
		condition, err := b.when(e, subject, when.GetExpr(), pos, depth)
		if err != nil {
			return term{}, err
		}
		result, err := b.term(when.GetResult(), depth+1)
		if err != nil {
			return term{}, err
		}
		out.when, results = append(out.when, condition), append(results, result)
	}
	results[0] = term{form: formConst, c: value.Constant{Null: true}, pos: pos}
	if e.Defresult != nil {
		var err *Error
		if results[0], err = b.term(e.Defresult, depth+1); err != nil {
			return term{}, err
		}
	}
	args, k, err := b.commonTerms("CASE", results, pos)
	if err != nil {
		return term{}, err
	}
	out.otherwise, out.then = args[0], args[1:]
	t := exprTerm(scalar{expr: out, k: args[0].k, bounds: joint(args), enum: args[0].enum}, pos)
	t.k, t.enum = k, args[0].enum
	return t, nil
}

// when builds the condition of a branch: as it is, or that the subject equals it.
func (b *builder) when(e *pg_query.CaseExpr, subject term, n *pg_query.Node, pos, depth int) (node, *Error) {
	if e.Arg == nil {
		return b.condition(n, "CASE/WHEN", depth+1)
	}
	other, err := b.term(n, depth+1)
	if err != nil {
		return nil, err
	}
	return b.compare(opEqual, subject, other, pos)
}

// maybeGuard tells from the outside what the printer can have written. It writes no parameters.
func (b *builder) maybeGuard(e *pg_query.CaseExpr) bool {
	if len(b.params) > 0 || e.Arg != nil || e.Defresult != nil || len(e.Args) != 1 {
		return false
	}
	when := e.Args[0].GetCaseWhen()
	switch n := when.GetExpr().GetNode().(type) {
	case *pg_query.Node_BoolExpr: // of a column, within its limits
		result := when.GetResult()
		if cast := result.GetTypeCast(); cast != nil {
			result = cast.Arg
		}
		return result.GetColumnRef() != nil
	case *pg_query.Node_BooleanTest: // of an array, by its dimensions
		either := n.BooleanTest.GetArg().GetBoolExpr().GetArgs()
		return len(either) == 2 && lastName(either[0].GetAExpr().GetLexpr().GetFuncCall().GetFuncname()) == "array_ndims"
	case *pg_query.Node_AExpr:
		switch {
		case n.AExpr.Kind == pg_query.A_Expr_Kind_AEXPR_BETWEEN: // of a number
			return when.GetResult().GetTypeCast() != nil
		case operatorName(n.AExpr) == "~": // of a text: a pattern of a user's has a cast behind it
			return n.AExpr.GetRexpr().GetAConst().GetSval() != nil
		case operatorName(n.AExpr) == ">=": // of a square root
			return operatorName(when.GetResult().GetAExpr()) == "|/"
		case operatorName(n.AExpr) == "=": // of an array in a document
			return lastName(when.GetResult().GetFuncCall().GetFuncname()) == "jsonb_array_length"
		}
	}
	return false
}
