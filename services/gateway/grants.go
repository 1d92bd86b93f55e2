package gateway

import (
	"slices"

	"github.com/golang-jwt/jwt/v5"

	"github.com/shapebus/shapebus/services/gateway/protocol"
)

// principal is who asks, as far as that limits what for.
type principal struct {
	gate   *gate
	grants []grant // one of them must allow the request; nil if there are no tokens
}

// claims are what a token says.
type claims struct {
	jwt.RegisteredClaims

	Shapes []grant `json:"shapes"`
}

// grant allows shapes of one table.
type grant struct {
	Table   string   `json:"table"`   // as SQL writes it
	Where   string   `json:"where"`   // rows that may be seen; empty for all
	Params  []string `json:"params"`  // of Where
	Columns []string `json:"columns"` // names of columns that may be seen; empty for all
}

// bind narrows a definition to what who asks may see, or refuses it.
func (p *principal) bind(d *protocol.Definition) error {
	table := qualified(d.Schema, d.Table)
	if len(p.gate.tables) > 0 && !slices.Contains(p.gate.tables, table) {
		return errForbidden
	}
	if err := p.bindInner(d); err != nil || p.grants == nil {
		return err
	}
	for _, g := range p.grants {
		schema, name, err := protocol.Table(g.Table)
		if err != nil || qualified(schema, name) != table {
			continue
		}
		if !g.covers(d) {
			continue
		}
		if len(g.Columns) > 0 {
			d.Queryable = g.Columns
		}
		if g.Where == "" {
			return nil
		}
		if err := d.Narrow(g.Where, g.Params); err != nil {
			return protocol.Invalid("where", clauseText(err))
		}
		return nil
	}
	return errForbidden
}

// bindInner refuses a clause whose subqueries select from tables that who asks may not see as a whole: which rows come would
// tell what is in them. The condition of a grant may, as it is not the client's.
func (p *principal) bindInner(d *protocol.Definition) error {
	if len(p.gate.tables) == 0 && p.grants == nil {
		return nil
	}
	inner, err := d.Inner()
	if err != nil {
		return protocol.Invalid("where", clauseText(err))
	}
	for _, t := range inner {
		table := qualified(t[0], t[1])
		if len(p.gate.tables) > 0 && !slices.Contains(p.gate.tables, table) || p.grants != nil && !slices.ContainsFunc(p.grants, func(g grant) bool { return g.isWhole(table) }) {
			return errForbidden
		}
	}
	return nil
}

// isWhole reports whether all rows and columns of a table may be seen.
func (g grant) isWhole(table string) bool {
	schema, name, err := protocol.Table(g.Table)
	return err == nil && qualified(schema, name) == table && g.Where == "" && len(g.Columns) == 0
}

// covers reports whether the columns asked for may be seen. Those that a clause reads count too: it would tell what is in them.
func (g grant) covers(d *protocol.Definition) bool {
	if len(g.Columns) == 0 {
		return true
	}
	if len(d.Columns) == 0 || d.Where != "" {
		return false
	}
	return !slices.ContainsFunc(d.Columns, func(c string) bool { return !slices.Contains(g.Columns, c) })
}

func qualified(schema, name string) string {
	return protocol.Quote(schema) + "." + protocol.Quote(name)
}
