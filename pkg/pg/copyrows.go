package pg

import (
	"context"
	"fmt"
	"strings"

	"github.com/shapebus/shapebus/pkg/change"
)

// CopyRows streams the named columns of the table's rows that match where, in
// no particular order, to f, and returns how many it streamed. where is SQL as
// package predicate prints it, "true" for every row; it is not checked here.
//
// A row and its values are valid until f returns. Memory is bounded by the
// largest row. An error from f or a cancelled ctx aborts the COPY and closes
// the connection, and the transaction with it; f's error is returned as it is.
//
// Errors: ErrSnapshotStale (the snapshot can still be closed, not used);
// *NeedsError if the role may not read the table, or not all of it.
func (s *Snapshot) CopyRows(ctx context.Context, t *TableInfo, columns []string, where string, f func(row change.Row) error) (int64, error) {
	if err := s.guard(ctx, t); err != nil {
		return 0, s.readError(t, err)
	}
	reader := newCopyReader(len(columns), f)
	_, err := s.conn.PgConn().CopyTo(ctx, reader, copySQL(t, columns, where))
	switch {
	case reader.err != nil:
		return reader.rows, reader.err
	case err != nil && ctx.Err() != nil:
		return reader.rows, fmt.Errorf("copy table %s: %w", t, ctx.Err())
	case err != nil:
		return reader.rows, s.readError(t, err)
	}
	if err := reader.close(); err != nil {
		return reader.rows, fmt.Errorf("copy table %s: %w", t, err)
	}
	return reader.rows, nil
}

func copySQL(t *TableInfo, columns []string, where string) string {
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = Ident(c)
	}
	return fmt.Sprintf("COPY (SELECT %s FROM %s WHERE (%s)) TO STDOUT", strings.Join(quoted, ", "), t.from(), where)
}

// guard locks the table against being rewritten, as COPY would, and then makes
// sure that it still is what the snapshot saw. Commands that are not
// MVCC-safe (TRUNCATE, rewriting ALTER TABLE) give it a new file: the catalog read
// with the snapshot knows the old one, the functions know the current one.
//
// The lock stays until Close and keeps all of them out, so a table is looked at once. That holds of plain tables
// only: attaching a partition does not wait for the lock.
func (s *Snapshot) guard(ctx context.Context, t *TableInfo) error {
	if _, done := s.guarded[t.Relation.OID]; done {
		return nil
	}
	if _, err := s.conn.Exec(ctx, "LOCK TABLE "+t.from()+" IN ACCESS SHARE MODE"); err != nil {
		return err
	}
	var differ bool
	err := s.conn.QueryRow(ctx, `
		WITH RECURSIVE seen(oid) AS (
			SELECT $1::oid
			UNION ALL
			SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN seen ON i.inhparent = seen.oid
			WHERE $2::bool AND NOT i.inhdetachpending
		), current(oid) AS (
			SELECT $1::oid
			UNION
			SELECT relid::oid FROM pg_catalog.pg_partition_tree($1::oid::regclass) WHERE $2::bool
		)
		SELECT count(*) > 0 FROM
			(SELECT seen.oid, c.relfilenode FROM seen JOIN pg_catalog.pg_class c ON c.oid = seen.oid) old
			FULL JOIN current ON current.oid = old.oid
		WHERE old.oid IS NULL OR current.oid IS NULL
			OR old.relfilenode <> coalesce(pg_catalog.pg_relation_filenode(current.oid), 0)`,
		t.Relation.OID, t.Kind == KindPartitioned).Scan(&differ)
	if err != nil {
		return err
	}
	if differ {
		return ErrSnapshotStale
	}
	if t.Kind == KindTable {
		s.guarded[t.Relation.OID] = struct{}{}
	}
	return nil
}

// readError makes a refusal into the statement that grants what is missing.
func (s *Snapshot) readError(t *TableInfo, err error) error {
	if sqlState(err) != "42501" {
		return fmt.Errorf("copy table %s: %w", t, err)
	}
	role := s.conn.Config().User
	if strings.Contains(err.Error(), "row-level security") {
		return &NeedsError{
			What:      fmt.Sprintf("row-level security hides rows of table %s from role %s, but not in the replication stream", t, role),
			As:        "a superuser",
			Statement: fmt.Sprintf("ALTER ROLE %s BYPASSRLS", Ident(role)),
			Err:       err,
		}
	}
	return &NeedsError{
		What:      fmt.Sprintf("role %s may not read table %s", role, t),
		As:        fmt.Sprintf("the owner of the table (role %s)", t.Owner),
		Statement: grantSQL(t, role),
		Err:       err,
	}
}

func grantSQL(t *TableInfo, role string) string {
	return fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s; GRANT SELECT ON %s TO %s",
		Ident(t.Relation.Schema), Ident(role), t.sql(), Ident(role))
}
