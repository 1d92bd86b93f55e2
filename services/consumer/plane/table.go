package plane

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
)

// lookup reads a table's definition, no older than the call.
func (p *server) lookup(ctx context.Context, schema, name string) (*pg.TableInfo, error) {
	if err := p.cfg.Allowed.check(schema, name); err != nil {
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
