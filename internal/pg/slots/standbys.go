package slots

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
)

// StandbysDown says of each standby that Postgres waits for before it sends changes from a slot with
// failover (synchronized_standby_slots, Postgres 17 on) why it would wait for ever. Nothing shows that
// otherwise: no change arrives, so nobody lags.
func StandbysDown(ctx context.Context, conn *pgx.Conn, slot Info) ([]string, error) {
	if pg.Major(conn) < 17 || !slot.Failover {
		return nil, nil
	}
	rows, err := conn.Query(ctx, `
		SELECT w.name, CASE
			WHEN s.slot_name IS NULL THEN 'there is no such slot'
			WHEN s.slot_type <> 'physical' THEN 'it is not the slot of a standby'
			WHEN s.invalidation_reason IS NOT NULL THEN 'it is lost (' || s.invalidation_reason || ')'
			ELSE 'no standby is connected to it' END
		FROM (SELECT DISTINCT btrim(btrim(x), '"') AS name FROM pg_catalog.unnest(pg_catalog.string_to_array(current_setting('synchronized_standby_slots'), ',')) x) w
		LEFT JOIN pg_catalog.pg_replication_slots s ON s.slot_name = w.name
		WHERE w.name <> '' AND NOT pg_catalog.pg_is_in_recovery()
			AND (s.slot_name IS NULL OR NOT s.active OR s.slot_type <> 'physical' OR s.invalidation_reason IS NOT NULL) ORDER BY 1`)
	if err != nil {
		return nil, fmt.Errorf("look for standbys that hold up the replication slot: %w", err)
	}
	var down []string
	var name, why string
	if _, err = pgx.ForEachRow(rows, []any{&name, &why}, func() error {
		down = append(down, fmt.Sprintf("Postgres sends no changes before the standby of slot %s has them (synchronized_standby_slots), and %s", name, why))
		return nil
	}); err != nil {
		return nil, fmt.Errorf("look for standbys that hold up the replication slot: %w", err)
	}
	return down, nil
}
