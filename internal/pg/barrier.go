package pg

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

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

// SystemID returns the identifier that initdb gave the cluster. It tells
// apart servers behind the same address: LSNs of two of them are not comparable.
func SystemID(ctx context.Context, conn *pgx.Conn) (string, error) {
	var id string
	err := conn.QueryRow(ctx, "SELECT system_identifier::text FROM pg_catalog.pg_control_system()").Scan(&id)
	if sqlState(err) == "42501" {
		id, err = identifySystem(ctx, &conn.Config().Config)
	}
	if err != nil {
		return "", fmt.Errorf("read the system identifier: %w", err)
	}
	return id, nil
}

// identifySystem asks over a replication connection, which needs no right to
// call functions.
func identifySystem(ctx context.Context, cfg *pgconn.Config) (id string, err error) {
	cfg = cfg.Copy()
	setParam(cfg.RuntimeParams, "replication", "database")
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return "", newConnectError(cfg, err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	results, err := conn.Exec(ctx, "IDENTIFY_SYSTEM").ReadAll()
	if err != nil {
		return "", err
	}
	if len(results) == 0 || len(results[0].Rows) == 0 || len(results[0].Rows[0]) == 0 {
		return "", errors.New("IDENTIFY_SYSTEM returned nothing")
	}
	return string(results[0].Rows[0][0]), nil
}
