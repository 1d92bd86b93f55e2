package group

import (
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/shape"
)

func crowdTable() *pg.TableInfo {
	rel := change.Relation{OID: 7, Schema: "public", Name: "tasks", Identity: change.IdentityFull, Columns: []change.Column{
		{Name: "id", Type: 23, TypeMod: -1}, {Name: "owner", Type: 23, TypeMod: -1}, {Name: "title", Type: 25, TypeMod: -1},
	}}
	t := &pg.TableInfo{Relation: rel, PrimaryKey: []string{"id"}, Kind: pg.KindTable}
	for _, c := range rel.Columns {
		t.Columns = append(t.Columns, pg.ColumnInfo{Name: c.Name, Type: c.Type, TypeMod: c.TypeMod, Deterministic: true})
	}
	return t
}

func crowdRecord(handle, where string, columns ...string) *registry.Shape {
	return &registry.Shape{
		ID: handle, Handle: handle, Table: crowdTable(),
		Definition: shape.Definition{Schema: "public", Table: "tasks", Columns: columns, Where: where},
	}
}
