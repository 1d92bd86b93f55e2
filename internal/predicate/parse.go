package predicate

import (
	"errors"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"github.com/pganalyze/pg_query_go/v6/parser"
)

// prefix makes a statement of a clause. The grammar's positions count from its start.
const prefix = "SELECT 1 WHERE "

// parse returns the clause's expression in the grammar's tree.
func parse(where string) (*pg_query.Node, *Error) {
	// What does not scan does not parse either, and the parser reports it better.
	if scanned, err := pg_query.Scan(where); err == nil {
		if err := checkDepth(where, scanned.Tokens); err != nil {
			return nil, err
		}
	}
	result, err := pg_query.Parse(prefix + where)
	if err != nil {
		return nil, syntaxError(err)
	}
	if len(result.Stmts) != 1 || result.Stmts[0].StmtLen != 0 {
		return nil, &Error{Message: `the clause must be one expression, without ";"`}
	}
	statement := result.Stmts[0].Stmt.GetSelectStmt()
	if statement == nil {
		return nil, &Error{Message: "the clause must be one boolean expression"}
	}
	if extra := extraClause(statement); extra != "" {
		return nil, &Error{Message: "the clause must be one boolean expression, but " + extra + " follows"}
	}
	if statement.WhereClause == nil {
		return nil, &Error{Message: "the clause must be one boolean expression"}
	}
	return statement.WhereClause, nil
}

// extraClause names a part of the statement that the clause smuggled in behind its expression.
func extraClause(s *pg_query.SelectStmt) string {
	if s.Op != pg_query.SetOperation_SETOP_NONE {
		return "UNION, INTERSECT or EXCEPT"
	}
	m := s.ProtoReflect()
	for i := range m.Descriptor().Fields().Len() { // in their order; see parts
		f := m.Descriptor().Fields().Get(i)
		switch {
		case !m.Has(f):
		case f.Name() == "target_list", f.Name() == "where_clause", f.Name() == "op":
		case f.Name() == "limit_option":
			if s.LimitOption != pg_query.LimitOption_LIMIT_OPTION_DEFAULT {
				return "LIMIT"
			}
		default:
			name, _, _ := strings.Cut(string(f.Name()), "_")
			return strings.ToUpper(name)
		}
	}
	return ""
}

func syntaxError(err error) *Error {
	out := &Error{Message: err.Error()}
	var parseError *parser.Error
	if errors.As(err, &parseError) && parseError.Cursorpos > 0 {
		out.Pos = max(parseError.Cursorpos-len(prefix), 1)
	}
	if strings.Contains(out.Message, "memory exhausted") || strings.Contains(out.Message, "stack depth") {
		out.Message = "the clause is nested too deeply"
	}
	return out
}
