package snapshots

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/change"
)

// lockWait is how long a snapshot waits for a table that somebody has locked
// whole. It is short because the snapshot holds what others wait for.
const lockWait = time.Second

// Guard makes sure that a query on the table shows what the snapshot saw, until
// Close. COPY guards the table that it is given by itself; this is for tables
// that its where clause selects from.
//
// Some commands are not MVCC-safe: a snapshot that is older than a TRUNCATE or a
// rewriting ALTER TABLE finds the table's new file, with nothing in it or with
// rows that it does not see; and names mean what they mean now, not what they meant
// then. So the table is locked as a query would lock it, which keeps all of
// them out, and only then compared with what the snapshot knows of it. It is
// not locked earlier: a snapshot is kept open until the change log has come to its
// place, and an application's TRUNCATE must not wait for that.
//
// One change does not wait for the lock: a partition can be attached, or made.
// CopyRows therefore looks again when it has read a partitioned table.
//
// Errors: *ChangedError if it was another table in the snapshot already;
// ErrSnapshotStale if it has changed since; *LockedError if somebody has it
// locked; *NeedsError if the role may not read it. The snapshot and the
// connection stay usable after all of them.
func (s *Snapshot) Guard(ctx context.Context, t *pg.TableInfo) error {
	_, known := s.guarded[t.Relation.OID]
	if known && t.Kind == pg.KindTable {
		return nil
	}
	var columns []column
	var err error
	if !known {
		if columns, err = s.sawIt(ctx, t); err != nil {
			return err
		}
	}
	err = s.lockFiles(ctx, t)
	if err == nil && !known {
		err = s.sameColumns(ctx, t, columns)
	}
	if err == nil {
		s.guarded[t.Relation.OID] = struct{}{}
		return nil
	}
	// The transaction goes back to where it was, without the lock.
	if _, back := s.conn.Exec(ctx, "ROLLBACK TO SAVEPOINT guard"); back != nil && !s.conn.IsClosed() {
		return errors.Join(err, fmt.Errorf("guard table %s: %w", t, back))
	}
	return err
}

func stale(t *pg.TableInfo) error { return fmt.Errorf("table %s: %w", t, pg.ErrSnapshotStale) }

// column is one that the stream carries, as the snapshot sees it.
type column struct {
	change.Column

	number uint16
	domain bool
}

// sawIt compares the table with the catalog that the snapshot sees, and returns
// the columns there.
func (s *Snapshot) sawIt(ctx context.Context, t *pg.TableInfo) (columns []column, err error) {
	rows, err := s.conn.Query(ctx, `
		SELECT n.nspname, c.relname, c.relkind::text, coalesce(a.attname, ''), coalesce(a.atttypid, 0), coalesce(a.atttypmod, 0),
			coalesce(a.attnum, 0)::int, coalesce(y.typtype = 'd', false)
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
			AND (a.attgenerated = '' OR a.attgenerated = 's' AND a.attname = ANY ($2::text[]))
		LEFT JOIN pg_catalog.pg_type y ON y.oid = a.atttypid
		WHERE c.oid = $1 ORDER BY a.attnum`, t.Relation.OID, columnsOf(t))
	if err != nil {
		return nil, fmt.Errorf("guard table %s: %w", t, err)
	}
	then := change.Relation{OID: t.Relation.OID, Identity: t.Relation.Identity} // what the identity was says nothing of the rows
	var kind string
	var c column
	_, err = pgx.ForEachRow(rows, []any{&then.Schema, &then.Name, &kind, &c.Name, &c.Type, &c.TypeMod, &c.number, &c.domain}, func() error {
		if c.number > 0 {
			columns, then.Columns = append(columns, c), append(then.Columns, c.Column)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("guard table %s: %w", t, err)
	case kind == "":
		return nil, &pg.ChangedError{Reason: t.Diff(nil)}
	}
	if reason := t.Relation.Diff(&then); reason != "" {
		return nil, &pg.ChangedError{Reason: reason}
	}
	if kind != string(t.Kind) {
		return nil, &pg.ChangedError{Reason: fmt.Sprintf("table %s changed between partitioned and not", t)}
	}
	return columns, nil
}

// sameColumns compares what the table's name and its columns' mean now with
// what they meant in the snapshot: catalogs are read as of the snapshot, but
// a query is understood as of now.
func (s *Snapshot) sameColumns(ctx context.Context, t *pg.TableInfo, columns []column) error {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	now, err := s.conn.PgConn().Prepare(ctx, "", "SELECT "+list(names)+" FROM "+t.From(), nil)
	if err != nil {
		return s.guardError(t, err)
	}
	for i, f := range now.Fields {
		c := columns[i]
		if f.TableOID != t.Relation.OID || f.TableAttributeNumber != c.number || f.DataTypeOID != c.Type && !c.domain { // of domains it tells the base
			return stale(t)
		}
	}
	return nil
}

// lockFiles locks the table behind a savepoint and compares its files, and those
// of its leaves. Commands that are not MVCC-safe give a table a new one: the
// catalog read with the snapshot knows the old one, the functions know the
// current one. All of it is one round trip.
func (s *Snapshot) lockFiles(ctx context.Context, t *pg.TableInfo) error {
	results, err := s.conn.PgConn().Exec(ctx, fmt.Sprintf(`
		SAVEPOINT guard; SET LOCAL lock_timeout = %[1]d; LOCK TABLE %[2]s IN ACCESS SHARE MODE;
		WITH RECURSIVE seen(oid) AS (
			SELECT %[3]d::oid
			UNION ALL
			SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN seen ON i.inhparent = seen.oid
			WHERE %[4]t AND NOT i.inhdetachpending
		), current(oid) AS (
			SELECT %[3]d::oid
			UNION
			SELECT relid::oid FROM pg_catalog.pg_partition_tree(%[3]d::oid::regclass) WHERE %[4]t
		)
		SELECT pg_catalog.count(*) FROM
			(SELECT seen.oid, c.relfilenode FROM seen JOIN pg_catalog.pg_class c ON c.oid = seen.oid) old
			FULL JOIN current ON current.oid = old.oid
		WHERE old.oid IS NULL OR current.oid IS NULL
			OR old.relfilenode <> coalesce(pg_catalog.pg_relation_filenode(current.oid), 0)`,
		lockWait.Milliseconds(), t.From(), t.Relation.OID, t.Kind == pg.KindPartitioned)).ReadAll()
	if err != nil {
		return s.guardError(t, err)
	}
	last := results[len(results)-1]
	if len(last.Rows) != 1 || string(last.Rows[0][0]) != "0" {
		return stale(t)
	}
	return nil
}

// guardError tells what a refusal of the server means for the snapshot, which
// has seen the table.
func (s *Snapshot) guardError(t *pg.TableInfo, err error) error {
	switch pg.SQLState(err) {
	case "42P01", "42703", "3F000": // no such table, column, schema
		return stale(t)
	}
	return s.readError(t, err)
}

// columns are the names of those that the stream carries.
func columnsOf(t *pg.TableInfo) []string {
	names := make([]string, 0, len(t.Relation.Columns))
	for _, c := range t.Relation.Columns {
		names = append(names, c.Name)
	}
	return names
}

// list is a list of columns in SQL.
func list(columns []string) string {
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = pg.Ident(c)
	}
	return strings.Join(quoted, ", ")
}
