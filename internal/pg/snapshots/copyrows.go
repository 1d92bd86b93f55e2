package snapshots

import (
	"context"
	"fmt"
	"strings"

	"github.com/shapebus/shapebus/internal/pg"
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
// Errors: those of Guard. After ErrSnapshotStale what f has got is not to be used.
func (s *Snapshot) CopyRows(ctx context.Context, t *pg.TableInfo, columns []string, where string, f func(row change.Row) error) (int64, error) {
	return s.CopyOrdered(ctx, t, columns, where, "", f)
}

// CopyOrdered is CopyRows in an order and within limits: order is the SQL behind the condition, such as
// ORDER BY "id" LIMIT 10. It is not checked here either.
func (s *Snapshot) CopyOrdered(ctx context.Context, t *pg.TableInfo, columns []string, where, order string, f func(row change.Row) error) (int64, error) {
	if err := s.Guard(ctx, t); err != nil {
		return 0, err
	}
	reader := newCopyReader(len(columns), f)
	_, err := s.conn.PgConn().CopyTo(ctx, reader, copySQL(t, columns, where, order))
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
	if t.Kind == pg.KindPartitioned {
		return reader.rows, s.lockFiles(ctx, t)
	}
	return reader.rows, nil
}

func copySQL(t *pg.TableInfo, columns []string, where, order string) string {
	return fmt.Sprintf("COPY (SELECT %s FROM %s WHERE (%s) %s) TO STDOUT", list(columns), t.From(), where, order)
}

// readError says what to do about a refusal: what is locked or has to be granted.
func (s *Snapshot) readError(t *pg.TableInfo, err error) error {
	switch pg.SQLState(err) {
	case "55P03":
		return &pg.LockedError{Table: t.String(), Timeout: lockWait, Err: err}
	case "42501":
	default:
		return fmt.Errorf("copy table %s: %w", t, err)
	}
	role := s.conn.Config().User
	if strings.Contains(err.Error(), "row-level security") {
		return &pg.NeedsError{
			What:      fmt.Sprintf("row-level security hides rows of table %s from role %s, but not in the replication stream", t, role),
			As:        "a superuser",
			Statement: fmt.Sprintf("ALTER ROLE %s BYPASSRLS", pg.Ident(role)),
			Err:       err,
		}
	}
	return &pg.NeedsError{
		What:      fmt.Sprintf("role %s may not read table %s", role, t),
		As:        fmt.Sprintf("the owner of the table (role %s)", t.Owner),
		Statement: GrantSQL(t, role),
		Err:       err,
	}
}

// GrantSQL lets a role read the table.
func GrantSQL(t *pg.TableInfo, role string) string {
	return fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s; GRANT SELECT ON %s TO %s",
		pg.Ident(t.Relation.Schema), pg.Ident(role), t.SQL(), pg.Ident(role))
}
