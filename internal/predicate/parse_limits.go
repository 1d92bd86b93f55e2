package predicate

import (
	"fmt"
	"strings"
	"unicode/utf8"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// Limits of a clause. They are far above what people write and keep a hostile clause from costing more than
// milliseconds and kilobytes.
const (
	maxClause = 64 << 10 // bytes of the clause
	maxParams = 64 << 10 // bytes of all parameters together
	maxDepth  = 128      // nesting of the checked tree
	maxList   = 10_000   // members of one IN list

	// maxPrinted bounds the SQL of a clause, which is itself accepted as a clause.
	maxPrinted = 256 << 10

	// maxWork bounds what is printed while a clause is compiled: guards repeat what they guard.
	maxWork = 16 << 20

	// maxOperatorRun bounds what is lexed again and again: the grammar's scanner takes all operator characters in a row
	// and gives back what it cannot use, which is quadratic in their number (15 s for 64 KiB of "/*").
	maxOperatorRun = 500

	// maxGrammarDepth bounds the estimate of checkDepth: the grammar's own tree is walked recursively, on a C stack.
	maxGrammarDepth = 1000
)

// checkSize refuses what should not even reach the parser.
func checkSize(where string, params []*string) *Error {
	if len(where) > maxPrinted { // between the two limits it must be what Compile printed
		return clauseTooLong(len(where))
	}
	if i := strings.IndexByte(where, 0); i >= 0 {
		return &Error{Pos: characterAt(where, i), Message: "the clause contains a zero byte"}
	}
	if i := invalidUTF8(where); i >= 0 {
		return &Error{Pos: characterAt(where, i), Message: "the clause is not valid UTF-8"}
	}
	if i := longOperatorRun(where); i >= 0 {
		return &Error{
			Pos: characterAt(where, i), Message: fmt.Sprintf("more than %d operator characters in a row", maxOperatorRun),
			Hint: "if they belong to a string, pass it as a parameter",
		}
	}
	total := 0
	for i, value := range params {
		if value == nil {
			continue
		}
		p := *value
		total += len(p)
		if strings.IndexByte(p, 0) >= 0 {
			return &Error{Message: fmt.Sprintf("parameter $%d contains a zero byte", i+1)}
		}
		if !utf8.ValidString(p) {
			return &Error{Message: fmt.Sprintf("parameter $%d is not valid UTF-8", i+1)}
		}
	}
	if total > maxParams {
		return &Error{Message: fmt.Sprintf("the parameters have %d bytes, at most %d are allowed", total, maxParams)}
	}
	return nil
}

func clauseTooLong(n int) *Error {
	return &Error{Message: fmt.Sprintf("the clause has %d bytes, at most %d are allowed", n, maxClause)}
}

func invalidUTF8(s string) int {
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

func longOperatorRun(s string) int {
	run := 0
	for i := range len(s) {
		if strings.IndexByte("~!@#^&|`?+-*/%<>=", s[i]) < 0 {
			run = 0
		} else if run++; run > maxOperatorRun {
			return i - maxOperatorRun
		}
	}
	return -1
}

// characterAt turns a byte offset into a 1-based character position.
func characterAt(where string, offset int) int {
	return utf8.RuneCountInString(where[:min(max(offset, 0), len(where))]) + 1
}

// checkDepth bounds the depth of the tree that the grammar can build from these tokens. AnyOf token may add a level,
// except that AND, OR and commas start afresh within the innermost bracket: their operands lie side by side.
func checkDepth(where string, tokens []*pg_query.ScanToken) *Error {
	levels, depth := []int{0}, 0
	for _, t := range tokens {
		top := len(levels) - 1
		switch t.Token {
		case pg_query.Token_SQL_COMMENT, pg_query.Token_C_COMMENT:
		case pg_query.Token_AND, pg_query.Token_OR, pg_query.Token_ASCII_44:
			depth -= levels[top]
			levels[top] = 0
		case pg_query.Token_ASCII_40, pg_query.Token_ASCII_91, pg_query.Token_CASE:
			levels = append(levels, 1)
			depth++
		case pg_query.Token_ASCII_41, pg_query.Token_ASCII_93, pg_query.Token_END_P:
			if top > 0 {
				depth -= levels[top]
				levels = levels[:top]
				levels[top-1]++
				depth++
			}
		default:
			levels[top]++
			depth++
		}
		if depth > maxGrammarDepth {
			return tooDeep(characterAt(where, int(t.Start)))
		}
	}
	return nil
}

func tooDeep(pos int) *Error {
	return &Error{Pos: pos, Message: "the clause is nested too deeply"}
}
