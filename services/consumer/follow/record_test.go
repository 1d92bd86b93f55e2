package follow

import (
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/shape"
)

func testTable() *pg.TableInfo {
	rel := change.Relation{OID: 7, Schema: "public", Name: "tasks", Identity: change.IdentityFull, Columns: []change.Column{
		{Name: "id", Type: int4OID, TypeMod: -1}, {Name: "owner", Type: int4OID, TypeMod: -1}, {Name: "title", Type: textOID, TypeMod: -1},
	}}
	t := &pg.TableInfo{Relation: rel, PrimaryKey: []string{"id"}, Kind: pg.KindTable}
	for _, c := range rel.Columns {
		t.Columns = append(t.Columns, pg.ColumnInfo{Name: c.Name, Type: c.Type, TypeMod: c.TypeMod, Deterministic: true})
	}
	return t
}

func testRecord(handle, where string, columns ...string) *registry.Shape {
	return &registry.Shape{
		ID: handle, Handle: handle, Table: testTable(),
		Definition: shape.Definition{Schema: "public", Table: "tasks", Columns: columns, Where: where},
	}
}
