package plane

import (
	"fmt"
	"strings"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/control"
)

// Allowed are the tables that may be asked for, as patterns of their names; none means all.
type Allowed []pattern

// pattern is a schema's and a table's name, in which * stands for any characters.
type pattern struct{ schema, table string }

// ParseAllowed reads patterns: schema.table, table in the schema public, or * for all. Names are as they are in the catalog,
// without quotes.
func ParseAllowed(patterns []string) (Allowed, error) {
	var out Allowed
	for _, text := range patterns {
		schema, table, found := strings.Cut(text, ".")
		switch {
		case text == "*":
			schema, table = "*", "*"
		case !found:
			schema, table = "public", text
		}
		if schema == "" || table == "" {
			return nil, fmt.Errorf("table pattern %q: want schema.table, table or *, with * for any characters in a name", text)
		}
		out = append(out, pattern{schema, table})
	}
	return out, nil
}

// check refuses a table that may not be asked for.
func (a Allowed) check(schema, table string) error {
	if len(a) == 0 {
		return nil
	}
	for _, p := range a {
		if matches(p.schema, schema) && matches(p.table, table) {
			return nil
		}
	}
	return &requestError{control.CodeForbidden, fmt.Sprintf("table %s is not among those that may be asked for; whoever runs Shapebus can allow it with --allow-tables", pg.Qualified(schema, table))}
}

// matches reports whether a name is like a pattern. After a mismatch only the last * is tried again.
func matches(pattern, name string) bool {
	restart, mark := -1, 0
	i, j := 0, 0
	for i < len(name) {
		switch {
		case j < len(pattern) && pattern[j] == '*':
			j++
			restart, mark = j, i
		case j < len(pattern) && pattern[j] == name[i]:
			i, j = i+1, j+1
		case restart < 0:
			return false
		default:
			mark++
			i, j = mark, restart
		}
	}
	return strings.Trim(pattern[j:], "*") == ""
}
