package preflight

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/prepare"
	"github.com/shapebus/shapebus/internal/pg/snapshots"
	"github.com/shapebus/shapebus/pkg/change"
)

// checkTable finds out whether shapes can be made on a table. publication may be "".
func checkTable(ctx context.Context, conn *pgx.Conn, publication, role, written string) []Finding {
	title := "table " + written
	schema, name, err := parseName(written)
	if err != nil {
		return []Finding{fail(title, "", "%s", err)}
	}
	var only []string
	if publication != "" {
		only = append(only, publication)
	}
	t, err := pg.LookupTable(ctx, conn, schema, name, only...)
	if err != nil {
		return []Finding{fail(title, "", "%s", err)}
	}
	title = "table " + t.String()
	var list []Finding
	if f := checkReadable(ctx, conn, t, role, title); !f.OK {
		list = append(list, f)
	}
	if publication != "" {
		if f := checkPrepared(ctx, conn, t, publication, role, title); f.Level != LevelOK {
			list = append(list, f)
		}
	}
	switch {
	case t.KeyFlaw != "":
		list = append(list, warn(title, "", "its primary key %s: rows are told apart by all their values", t.KeyFlaw))
	case len(t.PrimaryKey) == 0:
		list = append(list, warn(title, "", "has no primary key: rows are told apart by all their values"))
	}
	if len(list) == 0 {
		list = append(list, ok(title, "readable, %s", preparedText(t, publication)))
	}
	return list
}

func preparedText(t *pg.TableInfo, publication string) string {
	switch {
	case publication == "":
		return "replica identity " + t.Relation.Identity.String()
	case prepare.Prepared(t, publication):
		return fmt.Sprintf("in publication %s with replica identity FULL", publication)
	}
	return "Shapebus prepares it when its first shape is created"
}

// checkReadable asks whether a snapshot would see every row.
func checkReadable(ctx context.Context, conn *pgx.Conn, t *pg.TableInfo, role, title string) Finding {
	var readable, hidden bool
	err := conn.QueryRow(ctx, `
		SELECT has_schema_privilege($1, 'USAGE') AND has_table_privilege($2::oid, 'SELECT'), row_security_active($2::oid)`,
		t.Relation.Schema, t.Relation.OID).Scan(&readable, &hidden)
	switch {
	case err != nil:
		return fail(title, "", "privileges cannot be read: %s", err)
	case !readable:
		return fail(title, snapshots.GrantSQL(t, role), "role %s may not read it", role)
	case hidden:
		return fail(title, fmt.Sprintf("ALTER ROLE %s BYPASSRLS", pg.Ident(role)),
			"row-level security hides rows from role %s, but not in the replication stream", role)
	}
	return ok(title, "readable")
}

// checkPrepared asks whether the table is in the publication with full
// identity, or else whether EnsureTable could see to it.
func checkPrepared(ctx context.Context, conn *pgx.Conn, t *pg.TableInfo, publication, role, title string) Finding {
	if err := prepare.RefuseHarm(ctx, conn, publication, t); err != nil {
		if needs, ok := errors.AsType[*pg.NeedsError](err); ok {
			return fail(title, needs.Statement, "%s", needs.What)
		}
		return fail(title, "", "%s", err)
	}
	if prepare.Prepared(t, publication) {
		return ok(title, "prepared")
	}
	var owns bool
	err := conn.QueryRow(ctx, `
		SELECT bool_and(pg_has_role(c.relowner, 'USAGE') AND ($3 OR coalesce(pg_has_role(p.pubowner, 'USAGE'), true)))
		FROM pg_class c LEFT JOIN pg_publication p ON p.pubname = $2
		WHERE c.oid = ANY ($1::oid[])`, t.OIDs(), publication, t.Published(publication)).Scan(&owns)
	if err != nil {
		return fail(title, "", "ownership cannot be read: %s", err)
	}
	if owns {
		return ok(title, "can be prepared")
	}
	return fail(title, prepare.EnsureSQL(publication, t), "is not prepared (%s), and role %s may not do it", missing(t, publication), role)
}

// missing says in words what EnsureTable would change.
func missing(t *pg.TableInfo, publication string) string {
	var parts []string
	if !t.Published(publication) {
		parts = append(parts, "not in publication "+publication)
	}
	if t.Relation.Identity != change.IdentityFull {
		parts = append(parts, "replica identity "+t.Relation.Identity.String()+" instead of FULL")
	}
	for _, p := range t.Partitions {
		if p.Identity != change.IdentityFull {
			parts = append(parts, "partitions without replica identity FULL")
			break
		}
	}
	return strings.Join(parts, ", ")
}

// parseName reads a table's name as SQL writes it: unquoted parts are folded to
// lower case, a missing schema is public.
func parseName(s string) (schema, name string, err error) {
	var parts []string
	rest := strings.TrimSpace(s)
	for {
		var part string
		if strings.HasPrefix(rest, `"`) {
			part, rest, err = quotedPart(rest[1:])
			if err != nil {
				return "", "", fmt.Errorf("table name %s: %w", s, err)
			}
		} else {
			end := strings.IndexByte(rest, '.')
			if end < 0 {
				end = len(rest)
			}
			part, rest = strings.ToLower(rest[:end]), rest[end:]
			if strings.ContainsAny(part, "\" \t\n") {
				return "", "", fmt.Errorf("table name %s: put parts with blanks or quotes in double quotes", s)
			}
		}
		if part == "" {
			return "", "", fmt.Errorf("table name %s: a part is empty", s)
		}
		parts = append(parts, part)
		if rest == "" {
			break
		}
		if rest[0] != '.' {
			return "", "", fmt.Errorf("table name %s: want a dot between schema and table", s)
		}
		rest = rest[1:]
	}
	switch len(parts) {
	case 1:
		return "public", parts[0], nil
	case 2:
		return parts[0], parts[1], nil
	}
	return "", "", fmt.Errorf("table name %s: want table or schema.table", s)
}

// quotedPart reads up to the closing double quote; a doubled one stands for itself.
func quotedPart(s string) (part, rest string, err error) {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '"')
		if i < 0 {
			return "", "", errors.New("a double quote is not closed")
		}
		b.WriteString(s[:i])
		s = s[i+1:]
		if !strings.HasPrefix(s, `"`) {
			return b.String(), s, nil
		}
		b.WriteByte('"')
		s = s[1:]
	}
}
