package shapes

import (
	"context"
	"fmt"
	"slices"

	"github.com/shapebus/shapebus/internal/clause"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/services/gateway/protocol"
)

// Table is the table of a shape, as its record has it.
type Table struct {
	record *registry.Shape
	sql    string
}

// Info is the table in the catalog.
func (t *Table) Info() *pg.TableInfo { return t.record.Table }

// Columns are the shape's.
func (t *Table) Columns() []string { return t.record.Definition.Columns }

// SQL is the shape's condition.
func (t *Table) SQL() string { return t.sql }

// Predicate is the table as clauses see it.
func (t *Table) Predicate() predicate.Table { return clause.TableOf(t.record.Table) }

func newTable(rec *registry.Shape) (*Table, error) {
	p, err := predicate.Compile(rec.Definition.Where, rec.Definition.Params, clause.TableOf(rec.Table), func(schema, name string) (*predicate.Table, error) {
		for _, t := range rec.InnerTables {
			if t.Relation.Schema == schema && t.Relation.Name == name {
				inner := clause.TableOf(t)
				return &inner, nil
			}
		}
		return nil, nil
	})
	if err != nil {
		return nil, fmt.Errorf("the clause of shape %s: %w", rec.Handle, err)
	}
	return &Table{rec, p.SQL()}, nil
}

func columnsByName(t *pg.TableInfo) map[string]pg.ColumnInfo {
	infos := make(map[string]pg.ColumnInfo, len(t.Columns))
	for _, c := range t.Columns {
		infos[c.Name] = c
	}
	return infos
}

// record reads what is stored about a life of a shape. It is ErrOver when another one has taken its place.
func (k *Keeper) record(ctx context.Context, sh *client.Shape) (*registry.Shape, error) {
	records, err := registry.OpenShapes(ctx, k.js, k.cfg.Source)
	if err != nil {
		return nil, err
	}
	rec, err := records.Get(ctx, sh.Info().ID)
	if err != nil {
		return nil, err
	}
	if rec.Handle != sh.Handle() {
		return nil, fmt.Errorf("%w: its successor is %s", ErrOver, rec.Handle)
	}
	return rec, nil
}

// describe returns the encoder and the schema header of a shape.
func describe(rec *registry.Shape) (*protocol.Encoder, string, error) {
	infos := columnsByName(rec.Table)
	columns := make([]protocol.Column, 0, len(rec.Definition.Columns))
	for _, name := range rec.Definition.Columns {
		c, key := infos[name], slices.Index(rec.Table.PrimaryKey, name)
		// Of other columns a constraint may go while the shape lives on, and clients do not take a NULL that was said not to come.
		columns = append(columns, protocol.Column{Name: name, TypeName: c.TypeName, TypeMod: c.TypeMod, NotNull: key >= 0, Key: key})
	}
	schema, err := protocol.Schema(columns)
	return protocol.NewEncoder(rec.Definition.Schema, rec.Definition.Table, rec.Definition.Columns, rec.Table.PrimaryKey), schema, err
}
