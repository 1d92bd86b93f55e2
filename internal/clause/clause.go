// Package clause shows tables of the catalog to where clauses, so that all services read a clause alike: the consumer, which
// filters by it, the materializer, which compares the values that its subqueries select, and the gateway.
package clause

import (
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/pkg/change"
)

// TableOf is a table as clauses see it: its replicated columns, in the stream's order.
func TableOf(t *pg.TableInfo) predicate.Table {
	out := predicate.Table{Schema: t.Relation.Schema, Name: t.Relation.Name}
	infos := make(map[string]*pg.ColumnInfo, len(t.Columns))
	for i := range t.Columns {
		infos[t.Columns[i].Name] = &t.Columns[i]
	}
	for _, c := range t.Relation.Columns {
		out.Columns = append(out.Columns, columnOf(c, infos[c.Name]))
	}
	return out
}

// columnOf is a column as the stream and the catalog describe it. A domain is used as the type that it restricts.
func columnOf(c change.Column, info *pg.ColumnInfo) predicate.Column {
	if info == nil {
		info = &pg.ColumnInfo{}
	}
	out := predicate.Column{
		Name: c.Name, TypeOID: c.Type, TypeMod: c.TypeMod, TypeName: info.TypeName, NonDeterministic: !info.Deterministic,
		Enum: info.Enum, Composite: info.Composite,
	}
	if info.Base != 0 {
		out.TypeOID, out.Domain = info.Base, true
	}
	return out
}
