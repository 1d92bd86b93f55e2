package clause_test

import (
	"reflect"
	"testing"

	"github.com/shapebus/shapebus/internal/clause"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/pkg/change"
)

func TestClausesSeeTheColumnsThatAreReplicated(t *testing.T) {
	const domain, composite, enum = 90001, 90002, 90003
	table := &pg.TableInfo{
		Relation: change.Relation{Schema: "public", Name: "items", Columns: []change.Column{
			{Name: "b", Type: domain, TypeMod: -1}, {Name: "a", Type: 25, TypeMod: -1}, {Name: "c", Type: composite, TypeMod: -1}, {Name: "d", Type: enum, TypeMod: -1},
		}},
		Columns: []pg.ColumnInfo{
			{Name: "a", Type: 25, TypeName: "text"}, {Name: "b", Type: domain, TypeName: "whole", Base: 23, Deterministic: true},
			{Name: "c", Type: composite, TypeName: "point2", Composite: true, Deterministic: true}, {Name: "d", Type: enum, TypeName: "mood", Enum: []string{"ok"}, Deterministic: true},
			{Name: "g", Type: 23, Generated: true},
		},
	}
	want := predicate.Table{Schema: "public", Name: "items", Columns: []predicate.Column{
		{Name: "b", TypeOID: 23, TypeMod: -1, Domain: true, TypeName: "whole"},
		{Name: "a", TypeOID: 25, TypeMod: -1, TypeName: "text", NonDeterministic: true},
		{Name: "c", TypeOID: composite, TypeMod: -1, TypeName: "point2", Composite: true},
		{Name: "d", TypeOID: enum, TypeMod: -1, TypeName: "mood", Enum: []string{"ok"}},
	}}
	if got := clause.TableOf(table); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
