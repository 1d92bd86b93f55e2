package pg

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/shapebus/shapebus/pkg/change"
)

// ErrSnapshotStale says that a table was rewritten, truncated, renamed, or had a
// column renamed or a partition attached or detached after the snapshot was
// opened. Postgres would then show rows that were never all there at one moment.
// Open a new snapshot.
var ErrSnapshotStale = errors.New("it was rewritten, truncated or renamed, or its columns or partitions changed, after the snapshot was taken; take a new one")

// Snapshot is an open REPEATABLE READ transaction that reads one moment of the
// database. It uses its connection alone until Close. While it is open,
// vacuum keeps every row it can see.
type Snapshot struct {
	// Snapshot says which transactions the rows include; see change.Snapshot.Holds.
	change.Snapshot

	conn    *pgx.Conn
	guarded map[uint32]struct{} // locked until Close; see Guard
}

// The LSN must be read with the snapshot or later, never before it.
const snapshotSQL = "SELECT pg_catalog.pg_current_snapshot()::text, pg_catalog.pg_current_wal_insert_lsn()::text"

// OpenSnapshot begins REPEATABLE READ READ ONLY on conn and reads which
// transactions the snapshot sees, and the WAL insert position, as its first
// statement. The caller keeps conn, and ends the transaction with Close.
func OpenSnapshot(ctx context.Context, conn *pgx.Conn) (*Snapshot, error) {
	if conn.PgConn().TxStatus() != 'I' {
		return nil, errors.New("open snapshot: the connection is in a transaction")
	}
	begin := "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; "
	if Major(conn) >= 17 {
		begin += "SET LOCAL transaction_timeout = 0; " // as statement_timeout in sessionSettings, which older servers know too
	}
	snap, err := readSnapshot(ctx, conn, begin+snapshotSQL)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open snapshot: %w", err), rollback(ctx, conn))
	}
	return &Snapshot{Snapshot: snap, conn: conn, guarded: map[uint32]struct{}{}}, nil
}

// CurrentSnapshot reads what a new snapshot would see now. conn must not be in
// a transaction: it would tell of the transaction's own.
func CurrentSnapshot(ctx context.Context, conn *pgx.Conn) (change.Snapshot, error) {
	if conn.PgConn().TxStatus() != 'I' {
		return change.Snapshot{}, errors.New("read the current snapshot: the connection is in a transaction")
	}
	snap, err := readSnapshot(ctx, conn, snapshotSQL)
	if err != nil {
		return change.Snapshot{}, fmt.Errorf("read the current snapshot: %w", err)
	}
	return snap, nil
}

// readSnapshot runs sql, whose last statement is snapshotSQL, in one round trip.
func readSnapshot(ctx context.Context, conn *pgx.Conn, sql string) (change.Snapshot, error) {
	results, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		return change.Snapshot{}, err
	}
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
