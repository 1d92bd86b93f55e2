package predicate

import (
	"fmt"
	"strings"
)

// Table is what Compile needs to know of a table.
type Table struct {
	Schema, Name string
	Columns      []Column // in the order of the rows given to Match
}

// Column is one column of a table. TypeOID is the type's own OID, or of a domain that of the type which it restricts.
type Column struct {
	Name    string
	TypeOID uint32
	Domain  bool
	TypeMod int32 // as in pg_attribute.atttypmod; -1 (or 0) for none
	// TypeName is what messages call a type that clauses cannot use; empty means by its oid.
	TypeName string
	// Enum has the labels of an enum in their order; nil for every other type. TypeName is needed beside it.
	Enum []string

	// Composite is set for composite types, and domains over them, whose IS NULL looks at their attributes.
	Composite bool

	// Generated columns are refused: Postgres does not replicate them.
	Generated bool
	// NonDeterministic is set for text under a collation that finds different strings equal; such columns are
	// compared by bytes, and the SQL says so.
	NonDeterministic bool
}

// isCitext tells the type of the extension by its name: its oid is another one in every database. What is known of it holds of
// any type: how it becomes text.
func (c Column) isCitext() bool {
	return !c.Domain && (c.TypeName == "citext" || strings.HasSuffix(c.TypeName, ".citext"))
}

func (c Column) typeName() string {
	if c.TypeName != "" {
		return c.TypeName
	}
	return fmt.Sprintf("oid %d", c.TypeOID)
}

// column resolves a reference: column, table.column or schema.table.column.
func (t *Table) column(names []string, pos int) (int, *Error) {
	name := names[len(names)-1]
	switch len(names) {
	case 1:
	case 2:
		if names[0] != t.Name {
			return 0, missingTable(names[0], t, pos)
		}
	case 3:
		if names[0] != t.Schema || names[1] != t.Name {
			return 0, missingTable(names[0]+"."+names[1], t, pos)
		}
	default:
		return 0, &Error{Pos: pos, Message: "unknown reference " + strings.Join(names, ".")}
	}
	for i := range t.Columns {
		if t.Columns[i].Name != name {
			continue
		}
		if t.Columns[i].Generated {
			return 0, &Error{
				Pos: pos, Message: fmt.Sprintf("column %q is generated", name),
				Hint: "Postgres does not replicate generated columns; use the columns it is computed from",
			}
		}
		return i, nil
	}
	err := &Error{Pos: pos, Message: fmt.Sprintf("column %q does not exist in table %s.%s", name, t.Schema, t.Name)}
	for i := range t.Columns {
		if strings.EqualFold(t.Columns[i].Name, name) {
			return 0, err.withHint("there is %s: unquoted names are lower case, so quote it", quoteIdent(t.Columns[i].Name))
		}
	}
	return 0, err
}

func missingTable(name string, t *Table, pos int) *Error {
	return &Error{
		Pos: pos, Message: fmt.Sprintf("unknown table %q", name),
		Hint: fmt.Sprintf("the clause may only name columns of %s.%s", t.Schema, t.Name),
	}
}
