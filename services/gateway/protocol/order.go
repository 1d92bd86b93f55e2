package protocol

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxOrder bounds how many columns rows can be ordered by.
const maxOrder = 32

// Order reads an ORDER BY clause of plain columns and writes it as SQL, every name in quotes. Nothing of the text itself goes into the
// SQL. columns are those that there are.
func Order(text string, columns []string) (string, error) {
	items, err := split(text, ',')
	if err != nil {
		return "", err
	}
	if len(items) > maxOrder {
		return "", errors.New("there are too many columns to order by")
	}
	out := make([]string, 0, len(items))
	at := 0
	for _, item := range items {
		lead := len(item) - len(strings.TrimLeft(item, " \t\r\n"))
		sql, err := orderBy(strings.TrimSpace(item), columns, len([]rune(text[:at+lead])))
		if err != nil {
			return "", err
		}
		out = append(out, sql)
		at += len(item) + 1
	}
	return strings.Join(out, ", "), nil
}

// orderBy reads one column with its direction. at is its place in the clause.
func orderBy(item string, columns []string, at int) (string, error) {
	name, rest := item, ""
	if end := nameEnd(item); end < len(item) {
		name, rest = item[:end], item[end:]
	}
	column, err := identifier(name)
	switch {
	case strings.Contains(item, ";"):
		return "", errors.New("Unexpected `;` in order by") //nolint:staticcheck // the protocol's own text
	case strings.HasPrefix(item, "$"):
		return "", fmt.Errorf("At location %d: parameter %s is not supported in ORDER BY clauses", at, name)
	case err != nil, strings.HasPrefix(strings.TrimSpace(rest), "("):
		return "", fmt.Errorf("At location %d: such expressions are not allowed in ORDER BY clauses", at)
	case !slices.Contains(columns, column):
		return "", fmt.Errorf("At location %d: unknown reference %s", at, name)
	}
	words := strings.Fields(strings.ToUpper(rest))
	sql := Quote(column)
	if len(words) > 0 && (words[0] == "ASC" || words[0] == "DESC") {
		sql, words = sql+" "+words[0], words[1:]
	}
	if len(words) == 2 && words[0] == "NULLS" && (words[1] == "FIRST" || words[1] == "LAST") {
		sql, words = sql+" NULLS "+words[1], nil
	}
	if len(words) > 0 {
		return "", fmt.Errorf("At location %d: such expressions are not allowed in ORDER BY clauses", at)
	}
	return sql, nil
}

// nameEnd is behind the name that an item begins with.
func nameEnd(s string) int {
	if strings.HasPrefix(s, `"`) {
		for i := 1; i < len(s); i++ {
			if s[i] != '"' {
				continue
			}
			if i+1 < len(s) && s[i+1] == '"' {
				i++
				continue
			}
			return i + 1
		}
		return len(s)
	}
	if n := strings.IndexAny(s, " \t\r\n("); n >= 0 {
		return n
	}
	return len(s)
}
