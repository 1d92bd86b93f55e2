package plane

import (
	"context"
	"errors"
	"slices"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/shape"
	"github.com/shapebus/shapebus/services/consumer/plane/answer"
	"github.com/shapebus/shapebus/services/consumer/plane/refuse"
)

// checkedClause bounds a clause as it is understood, in an answer: parameters and guards make it
// longer than what was asked.
const checkedClause = 64 << 10

// check says what create would, and changes nothing. What is wrong with the definition is the
// answer; an error is that it could not be found out.
func (p *server) check(ctx context.Context, req control.CreateRequest) (any, error) {
	schema, name, err := shape.ParseTable(req.Table)
	if err != nil {
		return nil, refuse.BadRequest("%v", err)
	}
	table, err := p.lookup(ctx, schema, name)
	if err != nil {
		return problemOf(&control.Check{}, "table", err)
	}
	out := &control.Check{Schema: schema, Table: name, HasKey: len(table.PrimaryKey) > 0, Columns: columnsOf(table)}
	columns, err := chooseColumns(table, req.Columns)
	if err != nil {
		return problemOf(out, "columns", err)
	}
	pred, inner, err := p.clause(ctx, table, req)
	if err != nil {
		return problemOf(out, "where", err)
	}
	out.Where, out.Hint = answer.Brief(pred.SQL(), checkedClause), hintOf(pred)
	for _, t := range inner.tables {
		if name := pg.Display(t.Relation.Schema, t.Relation.Name); !slices.Contains(out.Reads, name) {
			out.Reads = append(out.Reads, name)
		}
	}
	def := shape.Definition{Schema: schema, Table: name, Columns: columns, Where: req.Where, Params: req.Params}
	switch have, err := p.cfg.Shapes.Get(ctx, def.ID(pred.Canonical())); {
	case err == nil && have.Alive():
		out.Handle = have.Handle
	case err != nil && !errors.Is(err, registry.ErrNotFound):
		return nil, err
	}
	return out, nil
}

// problemOf adds what is wrong with a definition, unless err is about something else.
func problemOf(out *control.Check, field string, err error) (any, error) {
	code, text := refuse.Describe(err)
	if code == control.CodeUnavailable {
		return nil, err
	}
	out.Problem = &control.Problem{Field: field, Message: refuse.Cut(text), Code: code}
	if wrong, ok := errors.AsType[*predicate.Error](err); ok {
		out.Problem.Position, out.Problem.Message, out.Problem.Hint = wrong.Pos, refuse.Cut(wrong.Message), refuse.Cut(wrong.Hint)
	}
	return out, nil
}

// columnsOf are the columns of a table that a shape may have.
func columnsOf(t *pg.TableInfo) []control.Column {
	var out []control.Column
	for _, c := range t.Columns {
		if !slices.ContainsFunc(t.Relation.Columns, func(r change.Column) bool { return r.Name == c.Name }) {
			continue
		}
		key := len(t.PrimaryKey) == 0 || slices.Contains(t.PrimaryKey, c.Name)
		out = append(out, control.Column{Name: c.Name, Type: c.Type, TypeName: c.TypeName, Key: key})
	}
	return out
}
