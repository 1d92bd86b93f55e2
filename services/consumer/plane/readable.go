package plane

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/snapshots"
)

// readable refuses tables that our role may not read: their snapshots could not be taken. Describing a statement,
// as the check of the clause does, asks for no rights on tables.
func readable(ctx context.Context, conn *pgx.Conn, tables ...*pg.TableInfo) error {
	for _, t := range tables {
		var may bool
		err := conn.QueryRow(ctx, `SELECT coalesce(bool_and(pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT')), true)
			FROM pg_catalog.pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped`, t.Relation.OID).Scan(&may)
		if err != nil {
			return fmt.Errorf("find out whether table %s may be read: %w", t, err)
		}
		if !may {
			role := conn.Config().User
			return &pg.NeedsError{
				What:      fmt.Sprintf("role %s may not read table %s", role, t),
				As:        fmt.Sprintf("the owner of the table (role %s)", t.Owner),
				Statement: snapshots.GrantSQL(t, role),
			}
		}
	}
	return nil
}
