package pg

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/pkg/change"
)

// EmitBarrier writes a logical message into the WAL, in a transaction of its
// own that is committed when it returns, so that an idle server flushes and
// sends it at once. Everything that committed before the call stands before it
// in the stream.
//
// The LSN returned is that of the message's record, before its commit. A
// reader recognises the barrier by prefix and payload. The commit waits for
// the local disk only, not for synchronous standbys: the walsender does not either.
func EmitBarrier(ctx context.Context, conn *pgx.Conn, prefix, payload string) (change.LSN, error) {
	if conn.PgConn().TxStatus() != 'I' {
		return 0, errors.New("emit barrier: the connection is in a transaction")
	}
	var text string
	err := conn.QueryRow(ctx, `
		SELECT l::text FROM pg_catalog.set_config('synchronous_commit', 'local', true),
			pg_catalog.pg_logical_emit_message(true, $1, $2::text) l`, prefix, payload).Scan(&text)
	if err != nil {
		return 0, fmt.Errorf("emit barrier: %w", err)
	}
	return change.ParseLSN(text)
}
