package snapshots

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/change"
)

// Snapshot is an open REPEATABLE READ transaction that reads one moment of the
// database. It uses its connection alone until Close. While it is open,
// vacuum keeps every row it can see.
type Snapshot struct {
	// Snapshot says which transactions the rows include; see change.Snapshot.Holds.
	change.Snapshot

	// Mark is where the record of the snapshot's message ends, if it wrote one: behind all that the snapshot sees.
	Mark change.LSN

	conn    *pgx.Conn
	guarded map[uint32]struct{} // locked until Close; see Guard
}

// The LSN must be read with the snapshot or later, never before it.
const snapshotSQL = "SELECT pg_catalog.pg_current_snapshot()::text, pg_catalog.pg_current_wal_insert_lsn()::text"

// Open begins REPEATABLE READ READ ONLY on conn and reads which
// transactions the snapshot sees, and the WAL insert position, as its first
// statement. The caller keeps conn, and ends the transaction with Close.
func Open(ctx context.Context, conn *pgx.Conn) (*Snapshot, error) {
	return openSnapshot(ctx, conn, "")
}

// OpenMarked is Open, and writes a logical message into the WAL, behind all that the
// snapshot sees. It is not part of the transaction, which only reads, so it is sent however that
// ends. It needs no more rights than EmitBarrier. Nothing flushes it before something else does.
func OpenMarked(ctx context.Context, conn *pgx.Conn, prefix, payload string) (*Snapshot, error) {
	return openSnapshot(ctx, conn, "; SELECT pg_catalog.pg_logical_emit_message(false, "+pg.Literal(prefix)+", "+pg.Literal(payload)+")::text")
}

func openSnapshot(ctx context.Context, conn *pgx.Conn, mark string) (*Snapshot, error) {
	if conn.PgConn().TxStatus() != 'I' {
		return nil, errors.New("open snapshot: the connection is in a transaction")
	}
	begin := "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; "
	if pg.Major(conn) >= 17 {
		begin += "SET LOCAL transaction_timeout = 0; " // as statement_timeout in sessionSettings, which older servers know too
	}
	snap := &Snapshot{conn: conn, guarded: map[uint32]struct{}{}}
	results, err := conn.PgConn().Exec(ctx, begin+snapshotSQL+mark).ReadAll()
	if err == nil && mark != "" {
		last := len(results) - 1
		snap.Mark, err = lsnOf(results[last])
		results = results[:last]
	}
	if err == nil {
		snap.Snapshot, err = snapshotOf(results)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open snapshot: %w", err), rollback(ctx, conn))
	}
	return snap, nil
}

// Current reads what a new snapshot would see now. conn must not be in
// a transaction: it would tell of the transaction's own.
func Current(ctx context.Context, conn *pgx.Conn) (change.Snapshot, error) {
	if conn.PgConn().TxStatus() != 'I' {
		return change.Snapshot{}, errors.New("read the current snapshot: the connection is in a transaction")
	}
	results, err := conn.PgConn().Exec(ctx, snapshotSQL).ReadAll()
	var snap change.Snapshot
	if err == nil {
		snap, err = snapshotOf(results)
	}
	if err != nil {
		return change.Snapshot{}, fmt.Errorf("read the current snapshot: %w", err)
	}
	return snap, nil
}

func lsnOf(r *pgconn.Result) (change.LSN, error) {
	if len(r.Rows) != 1 || len(r.Rows[0]) != 1 {
		return 0, errors.New("the server did not answer with one LSN")
	}
	return change.ParseLSN(string(r.Rows[0][0]))
}

// snapshotOf reads the answer to statements whose last one is snapshotSQL.
func snapshotOf(results []*pgconn.Result) (change.Snapshot, error) {
	last := results[len(results)-1]
	if len(last.Rows) != 1 || len(last.Rows[0]) != 2 {
		return change.Snapshot{}, errors.New("the server did not answer with one snapshot")
	}
	snap, err := change.ParseSnapshot(string(last.Rows[0][0]))
	if err != nil {
		return change.Snapshot{}, err
	}
	snap.LSN, err = change.ParseLSN(string(last.Rows[0][1]))
	return snap, err
}

// Close ends the transaction. The connection can be used again afterwards,
// unless a cancelled or failed CopyRows has closed it; that is no error here.
func (s *Snapshot) Close(ctx context.Context) error {
	if err := rollback(ctx, s.conn); err != nil {
		return fmt.Errorf("close snapshot: %w", err)
	}
	return nil
}

// rollback ends whatever transaction is open on conn.
func rollback(ctx context.Context, conn *pgx.Conn) error {
	if conn.IsClosed() || conn.PgConn().TxStatus() == 'I' {
		return nil
	}
	_, err := conn.Exec(ctx, "ROLLBACK")
	if errors.Is(err, pgconn.ErrConnClosed) {
		return nil
	}
	return err
}
