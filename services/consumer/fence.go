package consumer

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
)

// fence makes sure that the stream carries the table whole.
func (s *mainLoop) fence(ctx context.Context, conn *pgx.Conn, schema, name string) (*pg.TableInfo, error) {
	table, err := pg.LookupTable(ctx, conn, schema, name, s.preparer.Publication())
	if err != nil {
		return nil, finalIfPermanent(err)
	}
	if table, err = s.preparer.Prepare(ctx, conn, table); err != nil {
		return nil, finalIfPermanent(err)
	}
	return table, nil
}

// tableChanged says what changed. now is nil when the table is gone.
func tableChanged(was, now *pg.TableInfo) string {
	if d := was.Diff(now); d != "" {
		return d
	}
	return fmt.Sprintf("table %s changed", was)
}
