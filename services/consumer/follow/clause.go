package follow

import (
	"slices"

	"github.com/shapebus/shapebus/internal/clause"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/pkg/change"
)

// columnIndex is the place of a column in a relation, -1 if it has none of the name.
func columnIndex(r *change.Relation, name string) int {
	return slices.IndexFunc(r.Columns, func(c change.Column) bool { return c.Name == name })
}

// Compile compiles a where clause against the columns that the stream
// carries, in the stream's order. catalog finds the tables of its subqueries.
func Compile(where string, params []*string, t *pg.TableInfo, catalog predicate.Catalog) (*predicate.Predicate, error) {
	return predicate.Compile(where, params, ColumnsOf(t), catalog)
}

// Known is the catalog of the tables in a shape's record.
func Known(tables []*pg.TableInfo) predicate.Catalog {
	return func(schema, name string) (*predicate.Table, error) {
		for _, t := range tables {
			if t.Relation.Schema == schema && t.Relation.Name == name {
				pt := ColumnsOf(t)
				return &pt, nil
			}
		}
		return nil, nil
	}
}

// ColumnsOf is a table as clauses see it. Generated columns come last, so that
// a clause which names one is told why that cannot be.
func ColumnsOf(t *pg.TableInfo) predicate.Table {
	pt := clause.TableOf(t)
	for _, c := range t.Columns {
		if columnIndex(&t.Relation, c.Name) < 0 {
			pt.Columns = append(pt.Columns, predicate.Column{Name: c.Name, TypeOID: c.Type, TypeMod: c.TypeMod, TypeName: c.TypeName, Generated: true})
		}
	}
	return pt
}

// Depth is how deep subqueries are nested in a clause.
func Depth(p *predicate.Predicate) int {
	deepest := 0
	for _, q := range p.Subqueries() {
		deepest = max(deepest, 1+Depth(q.Inner))
	}
	return deepest
}
