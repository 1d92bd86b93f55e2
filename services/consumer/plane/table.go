package plane

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/snapshots"
)

// lookup reads a table's definition, no older than the call.
func (p *server) lookup(ctx context.Context, schema, name string) (*pg.TableInfo, error) {
	if err := p.cfg.Allowed.Check(schema, name); err != nil {
		return nil, err
	}
	return p.lookups.ask(ctx, fmt.Sprintf("%q.%q", schema, name), func(ctx context.Context) (t *pg.TableInfo, err error) {
		err = p.connected(ctx, func(conn *pgx.Conn) error {
			t, err = pg.LookupTable(ctx, conn, schema, name, p.cfg.Publication)
			return err
		})
		return t, err
	})
}

// ensure puts a table into the publication and returns its definition after that.
func (p *server) ensure(ctx context.Context, table *pg.TableInfo) (*pg.TableInfo, error) {
	return p.ensures.ask(ctx, fmt.Sprintf("%d %s", table.Relation.OID, table.Structure()), func(ctx context.Context) (*pg.TableInfo, error) {
		var out *pg.TableInfo
		err := p.connected(ctx, func(conn *pgx.Conn) (err error) {
			out, err = p.cfg.Tables.Prepare(ctx, conn, table)
			return err
		})
		return out, err
	})
}

// connected runs f with a connection to Postgres. Requests have some of the
// pool's only: one that waits for a locked table must not keep a unit from its barrier.
func (p *server) connected(ctx context.Context, f func(*pgx.Conn) error) error {
	select {
	case p.asking <- struct{}{}:
		defer func() { <-p.asking }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	conn, err := pg.Acquire(ctx, p.cfg.Pool)
	if err != nil {
		return err
	}
	defer conn.Release()
	return f(conn.Conn())
}

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
