package pg

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// namesConsidered bounds the search for close names in a huge catalog.
const namesConsidered = 20_000

// notFound makes a *NotFoundError with the tables whose names are close.
func notFound(ctx context.Context, conn *pgx.Conn, schema, name string) error {
	rows, err := conn.Query(ctx, `
		SELECT n.nspname, c.relname
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
			AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
		ORDER BY c.relname = $1 DESC LIMIT $2`, name, namesConsidered)
	if err != nil {
		return fmt.Errorf("look up table %s: %w", Display(schema, name), err)
	}
	type candidate struct {
		Schema, Name string
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[candidate])
	if err != nil {
		return fmt.Errorf("look up table %s: %w", Display(schema, name), err)
	}
	type scored struct {
		name string
		far  int
	}
	var near []scored
	for _, c := range all {
		far, limit := distance(strings.ToLower(c.Name), strings.ToLower(name)), (len([]rune(name))+2)/3
		if far > limit {
			continue
		}
		if c.Schema != schema {
			far++ // the same distance in the schema that was asked for is the better guess
		}
		near = append(near, scored{Display(c.Schema, c.Name), far})
	}
	slices.SortFunc(near, func(a, b scored) int {
		return cmp.Or(cmp.Compare(a.far, b.far), strings.Compare(a.name, b.name))
	})
	e := &NotFoundError{Schema: schema, Name: name}
	for _, s := range near[:min(3, len(near))] {
		e.Similar = append(e.Similar, s.name)
	}
	return e
}

// distance is the Levenshtein distance of two names, in characters.
func distance(a, b string) int {
	from, to := []rune(a), []rune(b)
	row := make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}
	for i, x := range from {
		diagonal := row[0]
		row[0] = i + 1
		for j, y := range to {
			cost := diagonal
			if x != y {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(to)]
}

// unsupportedKind says why a relation of a kind cannot be a shape's table, "" if
// it can.
func unsupportedKind(schema, kind string) string {
	if schema == "information_schema" || strings.HasPrefix(schema, "pg_") {
		return "belongs to Postgres itself, and system tables are not replicated"
	}
	switch kind {
	case "r", "p":
		return ""
	case "v":
		return "is a view; make the shape on the table it reads, with a where clause"
	case "m":
		return "is a materialized view; refreshing it is not replicated, so make the shape on the table it reads"
	case "f":
		return "is a foreign table; its changes happen on another server, so make the shape there"
	case "i", "I":
		return "is an index, not a table"
	case "S":
		return "is a sequence, not a table"
	case "c":
		return "is a composite type, not a table"
	}
	return "is not a table"
}

// Supported is nil if the table can be a shape's table, else an *UnsupportedError.
func (t *TableInfo) Supported() error {
	no := func(reason string, args ...any) error {
		return &UnsupportedError{Schema: t.Relation.Schema, Name: t.Relation.Name, Reason: fmt.Sprintf(reason, args...)}
	}
	switch {
	case t.PartitionOf != "":
		return no("is a partition of %s; its changes are reported under the root, so make the shape on the root with a where clause", t.PartitionOf)
	case !slices.ContainsFunc(t.Columns, func(c ColumnInfo) bool { return !c.Generated }):
		return no("has no column that is replicated, so nothing can be told of its rows; add one, such as a primary key")
	case t.Parent:
		return no("has tables that inherit from it: a query on it reads their rows too, which are replicated under their own names; " +
			"make shapes on the tables without children, or use partitions")
	case t.Persistence == 'u':
		return no("is unlogged, so its changes are not replicated; run ALTER TABLE %s SET LOGGED", t.SQL())
	case t.Persistence == 't':
		return no("is a temporary table, which only its own session can see")
	}
	for _, p := range t.Partitions {
		switch {
		case p.LeafKind == 'f':
			return no("has the foreign table %s as a partition, whose changes are not replicated", Display(p.Schema, p.Name))
		case p.Persistence != 'p':
			return no("has the unlogged partition %s, whose changes are not replicated; run ALTER TABLE %s SET LOGGED",
				Display(p.Schema, p.Name), Qualified(p.Schema, p.Name))
		}
	}
	return nil
}
