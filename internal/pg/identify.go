package pg

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// SystemID is the identifier of the Postgres cluster, as IDENTIFY_SYSTEM tells it: a standby has that of its primary, and a
// cluster that was made by itself another one.
func SystemID(ctx context.Context, conn *pgx.Conn) (string, error) {
	var id int64
	if err := conn.QueryRow(ctx, "SELECT system_identifier FROM pg_catalog.pg_control_system()").Scan(&id); err != nil {
		return "", fmt.Errorf("identify the Postgres cluster: %w", err)
	}
	return strconv.FormatUint(uint64(id), 10), nil
}
