package pgtest

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// FreeSlot ends the walsender that holds a replication slot, if one does, and returns when it is gone. The end of a client
// is not enough: its walsender holds the slot until it notices, and meanwhile the slot cannot be dropped or moved. A client that
// still runs may take the slot again at once.
func FreeSlot(ctx context.Context, conn *pgx.Conn, slot string) error {
	var ended *bool // NULL when nobody holds the slot, false when the walsender does not end or has ended meanwhile
	err := conn.QueryRow(ctx, "SELECT pg_terminate_backend(active_pid, $2) FROM pg_replication_slots WHERE slot_name = $1",
		slot, patience.Milliseconds()).Scan(&ended)
	if err != nil {
		return fmt.Errorf("end the reader of replication slot %s: %w", slot, err)
	}
	return nil
}
