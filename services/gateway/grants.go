package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/shapebus/shapebus/internal/strict"
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

	Shapes []json.RawMessage `json:"shapes"`
}

// grant allows shapes of one table.
type grant struct {
	Table   string   // as SQL writes it
	Where   string   // rows that may be seen; empty for all
	Params  []string // of Where
	Columns []string // names of columns that may be seen; empty for all
}

// parseGrants reads what a token grants, never nil. What is there and empty would be a restriction that is missing, so it is refused
// as what cannot be understood.
func parseGrants(shapes []json.RawMessage) ([]grant, error) {
	out := make([]grant, 0, len(shapes))
	for i, text := range shapes {
		g, err := parseGrant(text)
		if err != nil {
			return nil, fmt.Errorf("grant %d of the token: %w", i+1, err)
		}
		out = append(out, g)
	}
	return out, nil
}

func parseGrant(text []byte) (grant, error) {
	said, err := strict.Decode[struct {
		Table   string    `json:"table"`
		Where   *string   `json:"where"`
		Params  *[]string `json:"params"`
		Columns *[]string `json:"columns"`
	}](text, strict.Words{Object: "the grant", Reader: "a grant"})
	if err != nil {
		return grant{}, err
	}
	g := grant{Table: said.Table}
	if _, _, err := protocol.Table(g.Table); err != nil {
		return grant{}, fmt.Errorf(`"table": %w`, err)
	}
	if said.Where != nil {
		if g.Where = *said.Where; strings.TrimSpace(g.Where) == "" {
			return grant{}, errors.New(`"where" is empty; leave it out to grant all rows`)
		}
	}
	if said.Params != nil {
		if g.Params = *said.Params; said.Where == nil {
			return grant{}, errors.New(`"params" are given and no "where"`)
		}
	}
	if said.Columns != nil {
		if g.Columns = *said.Columns; len(g.Columns) == 0 || slices.Contains(g.Columns, "") {
			return grant{}, errors.New(`"columns" names none, or one without a name; leave it out to grant all columns`)
		}
	}
	return g, nil
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
		if err := d.Narrow(&p.gate.clauses, g.Where, g.Params); err != nil {
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
	inner, err := d.Inner(&p.gate.clauses)
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
