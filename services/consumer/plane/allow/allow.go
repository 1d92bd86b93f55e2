// Package allow knows which tables may be asked for. It says nothing of who asks: whoever runs Shapebus sets it once for all.
package allow

import (
	"fmt"
	"strings"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/services/consumer/plane/refuse"
)

// Tables are the tables that may be asked for, as patterns of their names; none means all.
type Tables []pattern

// pattern is a schema's and a table's name, in which * stands for any characters.
type pattern struct{ schema, table string }

// Parse reads patterns: schema.table, table in the schema public, or * for all. Names are as they are in the catalog,
// without quotes.
func Parse(patterns []string) (Tables, error) {
	var out Tables
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

// Check refuses a table that may not be asked for.
func (a Tables) Check(schema, table string) error {
	if len(a) == 0 {
		return nil
	}
	for _, p := range a {
		if matches(p.schema, schema) && matches(p.table, table) {
			return nil
		}
	}
	return refuse.With(control.CodeForbidden, "table %s is not among those that may be asked for; whoever runs Shapebus can allow it with --allow-tables", pg.Qualified(schema, table))
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
