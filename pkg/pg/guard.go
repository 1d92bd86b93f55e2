package pg

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
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
func (s *Snapshot) Guard(ctx context.Context, t *TableInfo) error {
	if _, done := s.guarded[t.Relation.OID]; done && t.Kind == KindTable {
		return nil
	}
	if _, err := s.conn.Exec(ctx, "SAVEPOINT guard"); err != nil {
		return fmt.Errorf("guard table %s: %w", t, err)
	}
	end := "RELEASE SAVEPOINT guard"
	err := s.guard(ctx, t)
	if err != nil { // it goes back to where the table was not locked
		end = "ROLLBACK TO SAVEPOINT guard; RELEASE SAVEPOINT guard"
	}
	if _, endErr := s.conn.Exec(ctx, end); endErr != nil && !s.conn.IsClosed() {
		return errors.Join(err, fmt.Errorf("guard table %s: %w", t, endErr))
	}
	if err == nil {
		s.guarded[t.Relation.OID] = struct{}{}
	}
	return err
}

func stale(t *TableInfo) error { return fmt.Errorf("table %s: %w", t, ErrSnapshotStale) }

func (s *Snapshot) guard(ctx context.Context, t *TableInfo) error {
	if err := s.sawIt(ctx, t); err != nil {
		return err
	}
	_, err := s.conn.PgConn().Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d; LOCK TABLE %s IN ACCESS SHARE MODE", lockWait.Milliseconds(), t.from())).ReadAll()
	if err != nil {
		return s.guardError(t, err)
	}
	if err := s.sameColumns(ctx, t); err != nil {
		return err
	}
	return s.sameFiles(ctx, t)
}

// sawIt compares the table with the catalog that the snapshot sees.
func (s *Snapshot) sawIt(ctx context.Context, t *TableInfo) error {
	tables, err := LookupTables(ctx, s.conn, []uint32{t.Relation.OID})
	if err != nil {
		return err
	}
	then := tables[t.Relation.OID]
	if then != nil && t.Kind == then.Kind {
		rel := then.Relation
		rel.Identity = t.Relation.Identity // says nothing of the rows
		if t.Relation.Diff(&rel) == "" {
			return nil
		}
	}
	return &ChangedError{Reason: t.Diff(then)}
}

// sameColumns compares what the table's name and its columns' names mean now with
// what they meant in the snapshot: catalogs are read as of the snapshot,
// but a query is understood as of now.
func (s *Snapshot) sameColumns(ctx context.Context, t *TableInfo) error {
	names := make([]string, len(t.Relation.Columns))
	for i, c := range t.Relation.Columns {
		names[i] = c.Name
	}
	var same bool
	var attnums []uint16
	var domains []bool
	err := s.conn.QueryRow(ctx, `
		SELECT coalesce(pg_catalog.to_regclass($1)::oid = $2, false), coalesce(array_agg(a.attnum::int ORDER BY n.place), '{}'),
			coalesce(array_agg(y.typtype = 'd' ORDER BY n.place), '{}')
		FROM pg_catalog.unnest($3::text[]) WITH ORDINALITY n(name, place)
		JOIN pg_catalog.pg_attribute a ON a.attrelid = $2 AND a.attname = n.name AND a.attnum > 0 AND NOT a.attisdropped
		JOIN pg_catalog.pg_type y ON y.oid = a.atttypid`, t.sql(), t.Relation.OID, names).Scan(&same, &attnums, &domains)
	if err != nil {
		return fmt.Errorf("guard table %s: %w", t, err)
	}
	now, err := s.conn.PgConn().Prepare(ctx, "", "SELECT "+list(names)+" FROM "+t.from(), nil)
	if err != nil {
		return s.guardError(t, err)
	}
	if !same || len(now.Fields) != len(names) || len(attnums) != len(names) {
		return stale(t)
	}
	for i, f := range now.Fields {
		c := t.Relation.Columns[i]
		typed := f.DataTypeOID == c.Type && f.TypeModifier == c.TypeMod || domains[i] // of domains the server tells the base
		if f.TableAttributeNumber != attnums[i] || !typed {
			return stale(t)
		}
	}
	return nil
}

// sameFiles compares the files of the table and its leaves. Commands that are
// not MVCC-safe give a table a new one: the catalog read with the
// snapshot knows the old one, the functions know the current one.
func (s *Snapshot) sameFiles(ctx context.Context, t *TableInfo) error {
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
	switch {
	case err != nil:
		return fmt.Errorf("guard table %s: %w", t, err)
	case differ:
		return stale(t)
	}
	return nil
}

// guardError tells what a refusal of the server means for the snapshot, which
// has seen the table.
func (s *Snapshot) guardError(t *TableInfo, err error) error {
	switch sqlState(err) {
	case "42P01", "42703", "3F000": // no such table, column, schema
		return stale(t)
	}
	return s.readError(t, err)
}

// list is a list of columns in SQL.
func list(columns []string) string {
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = Ident(c)
	}
	return strings.Join(quoted, ", ")
}
