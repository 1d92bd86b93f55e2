package live

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
)

// Fence makes sure that the stream carries the table whole.
func (s *Loop) Fence(ctx context.Context, conn *pgx.Conn, schema, name string) (*pg.TableInfo, error) {
	table, err := pg.LookupTable(ctx, conn, schema, name, s.Preparer.Publication())
	if err != nil {
		return nil, FinalIfPermanent(err)
	}
	if table, err = s.Preparer.Prepare(ctx, conn, table); err != nil {
		return nil, FinalIfPermanent(err)
	}
	return table, nil
}

// TableChanged says what changed. now is nil when the table is gone.
func TableChanged(was, now *pg.TableInfo) string {
	if d := was.Diff(now); d != "" {
		return d
	}
	return fmt.Sprintf("table %s changed", was)
}
