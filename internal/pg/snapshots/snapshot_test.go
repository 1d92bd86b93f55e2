package snapshots

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/dbtest"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

func open(tb testing.TB, conn *pgx.Conn) *Snapshot {
	tb.Helper()
	snap, err := Open(tb.Context(), conn)
	if err != nil {
		tb.Fatal(err)
	}
	return snap
}

// copyAll reads rows in a snapshot of its own.
func copyAll(tb testing.TB, conn *pgx.Conn, info *pg.TableInfo, columns []string, where string) []change.Row {
	tb.Helper()
	snap := open(tb, conn)
	rows := copyIn(tb, snap, info, columns, where)
	if err := snap.Close(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return rows
}

func copyIn(tb testing.TB, snap *Snapshot, info *pg.TableInfo, columns []string, where string) []change.Row {
	tb.Helper()
	var rows []change.Row
	n, err := snap.CopyRows(tb.Context(), info, columns, where, func(row change.Row) error {
		rows = append(rows, clone(row))
		return nil
	})
	if err != nil || int(n) != len(rows) {
		tb.Fatalf("%d rows of %d, %v", len(rows), n, err)
	}
	return rows
}

func TestCopyRowsKeepsEveryByte(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	dbtest.Exec(t, conn, "CREATE TABLE t (id int PRIMARY KEY, v text, w text)")
	dbtest.Exec(t, conn, "ALTER TABLE t ALTER v SET STORAGE EXTERNAL, ALTER w SET STORAGE EXTERNAL") // compressing 20 MB takes seconds
	huge := strings.Repeat("0123456789 tab\t nl\n bs\\ ", 20<<20/24)
	values := []*string{nil}
	for _, v := range []string{"", `\N`, `\.`, `\\`, `\`, "\t", "\n", "\r\n", "a\tb\nc\\d", "\b\f\v", "\x01\x7f", "ü🦆", " ", `"`, "NULL", huge, "after"} {
		values = append(values, &v)
	}
	for i, v := range values {
		dbtest.Exec(t, conn, "INSERT INTO t VALUES ($1, $2, $2)", i, v)
	}
	rows := copyAll(t, conn, dbtest.Lookup(t, conn, "public", "t"), []string{"v", "id", "w"}, "true")
	if len(rows) != len(values) {
		t.Fatalf("%d rows, want %d", len(rows), len(values))
	}
	for i, v := range values {
		for _, got := range [][]byte{rows[i][0], rows[i][2]} {
			switch {
			case (v == nil) != (got == nil):
				t.Errorf("row %d: NULL became a value or the other way round", i)
			case v != nil && !bytes.Equal(got, []byte(*v)):
				t.Errorf("row %d: %.60q, want %.60q", i, got, *v)
			}
		}
	}
}

func TestCopyRowsPrintsValuesTheSameWhateverTheRolesSettings(t *testing.T) {
	url := pgtest.Database(t)
	admin := dbtest.Dial(t, url)
	dbtest.Exec(t, admin, "CREATE TABLE t (a timestamptz, b interval, c float8, d bytea, e date)")
	dbtest.Exec(t, admin, `INSERT INTO t VALUES ('2024-03-01 12:00+02', '1 day 2 hours', 0.1::float8 + 0.2, '\xff00', '2024-02-01')`)
	dbtest.Exec(t, admin, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET DateStyle = ''German''', current_database());
		EXECUTE format('ALTER DATABASE %I SET TimeZone = ''Asia/Tokyo''', current_database());
		EXECUTE format('ALTER DATABASE %I SET IntervalStyle = ''iso_8601''', current_database());
		EXECUTE format('ALTER DATABASE %I SET extra_float_digits = 0', current_database());
		EXECUTE format('ALTER DATABASE %I SET bytea_output = ''escape''', current_database());
		EXECUTE format('ALTER DATABASE %I SET statement_timeout = 1', current_database()); END $$`)
	conn := dbtest.Dial(t, url)
	rows := copyAll(t, conn, dbtest.Lookup(t, conn, "public", "t"), []string{"a", "b", "c", "d", "e"}, "true")
	if got, want := fmt.Sprintf("%s", rows), `[[2024-03-01 10:00:00+00 1 day 02:00:00 0.30000000000000004 \xff00 2024-02-01]]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCopyRowsReadsPartitionsButNotInheritanceChildren(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	dbtest.Script(t, conn, `
		CREATE TABLE root (id int, v text) PARTITION BY LIST (id);
		CREATE TABLE root_1 PARTITION OF root FOR VALUES IN (1);
		CREATE TABLE root_2 (v text, extra int, id int); ALTER TABLE root_2 DROP COLUMN extra;
		ALTER TABLE root ATTACH PARTITION root_2 FOR VALUES IN (2);
		INSERT INTO root VALUES (1, 'one'), (2, 'two');
		CREATE TABLE parent (id int); INSERT INTO parent VALUES (1)`)
	parent := dbtest.Lookup(t, conn, "public", "parent")
	dbtest.Script(t, conn, "CREATE TABLE child () INHERITS (parent); INSERT INTO child VALUES (2)")
	if rows := copyAll(t, conn, dbtest.Lookup(t, conn, "public", "root"), []string{"id", "v"}, "true"); len(rows) != 2 {
		t.Errorf("%d rows of the partitions, want 2", len(rows))
	}
	if rows := copyAll(t, conn, parent, []string{"id"}, "true"); len(rows) != 1 {
		t.Errorf("%d rows of the parent, want 1", len(rows))
	}
}

func TestASnapshotSeesOneMoment(t *testing.T) {
	url := pgtest.Database(t)
	conn, writer, late := dbtest.Dial(t, url), dbtest.Dial(t, url), dbtest.Dial(t, url)
	dbtest.Exec(t, conn, "CREATE TABLE t (id int)")
	info := dbtest.Lookup(t, conn, "public", "t")
	xid := func(c *pgx.Conn, id int) change.XID {
		t.Helper()
		dbtest.Exec(t, c, "BEGIN")
		dbtest.Exec(t, c, "INSERT INTO t VALUES ($1)", id)
		var x uint64
		if err := c.QueryRow(t.Context(), "SELECT pg_current_xact_id()::text::bigint").Scan(&x); err != nil {
			t.Fatal(err)
		}
		return change.XID(uint32(x))
	}
	running := xid(writer, 1)
	committed := xid(late, 2)
	dbtest.Exec(t, late, "COMMIT")
	snap := open(t, conn)
	dbtest.Exec(t, writer, "COMMIT")
	after := xid(late, 3)
	dbtest.Exec(t, late, "COMMIT")
	rows := copyIn(t, snap, info, []string{"id"}, "true")
	if len(rows) != 1 || string(rows[0][0]) != "2" {
		t.Errorf("the snapshot holds %s, want row 2", rows)
	}
	if !snap.Sees(committed) || snap.Sees(running) || snap.Sees(after) {
		t.Errorf("%s sees committed %t, running %t, later %t", snap, snap.Sees(committed), snap.Sees(running), snap.Sees(after))
	}
	now, err := Current(t.Context(), late)
	if err != nil {
		t.Fatal(err)
	}
	if !now.Sees(running) || !now.Sees(after) || now.LSN < snap.LSN {
		t.Errorf("a later snapshot %s at %s, the first at %s", now, now.LSN, snap.LSN)
	}
	if _, err := Current(t.Context(), conn); err == nil {
		t.Error("the current snapshot was read inside a transaction")
	}
	if err := snap.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if rows := copyAll(t, conn, info, []string{"id"}, "true"); len(rows) != 3 {
		t.Errorf("%d rows after closing, want 3", len(rows))
	}
}

// TestASnapshotLeavesAMark: the message stands behind what the snapshot sees, whatever becomes of
// its transaction, which writes nothing else.
func TestASnapshotLeavesAMark(t *testing.T) {
	url := pgtest.Database(t)
	admin := dbtest.Dial(t, url)
	dbtest.Exec(t, admin, "CREATE TABLE t (id int)")
	dbtest.Exec(t, admin, "CREATE PUBLICATION p")
	slot := "mark_" + admin.Config().Database
	dbtest.Exec(t, admin, "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", slot)
	t.Cleanup(func() { _, _ = admin.Exec(context.Background(), "SELECT pg_drop_replication_slot($1)", slot) })
	userURL, _ := dbtest.As(t, admin, url, "")
	conn := dbtest.Dial(t, userURL)
	const payload = `a 'mark' \ of it`
	snap, err := OpenMarked(t.Context(), conn, "shapebus", payload)
	if err != nil {
		t.Fatal(err)
	}
	if snap.Mark <= snap.LSN || snap.Xmin == 0 {
		t.Errorf("the mark of the snapshot %s at %s is at %s", snap, snap.LSN, snap.Mark)
	}
	var writes bool
	if err := conn.QueryRow(t.Context(), "SELECT pg_current_xact_id_if_assigned() IS NOT NULL").Scan(&writes); err != nil || writes {
		t.Errorf("the transaction writes: %t, %v", writes, err)
	}
	if err := snap.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := pg.EmitBarrier(t.Context(), admin, "shapebus", "flush"); err != nil {
		t.Fatal(err)
	}
	var message []byte
	err = admin.QueryRow(t.Context(), `SELECT data FROM pg_logical_slot_peek_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', 'p', 'messages', 'true')
		WHERE get_byte(data, 0) = ascii('M') LIMIT 1`, slot).Scan(&message)
	if err != nil {
		t.Fatal(err)
	}
	want := append([]byte{'M', 0}, binary.BigEndian.AppendUint64(nil, uint64(snap.Mark))...)
	if !bytes.HasPrefix(message, want) || !bytes.HasSuffix(message, []byte(payload)) {
		t.Errorf("the message is %q, want it at %s", message, snap.Mark)
	}
}

func TestASnapshotOfATableThatWasRewrittenIsRefused(t *testing.T) {
	url := pgtest.Database(t)
	conn, ddl := dbtest.Dial(t, url), dbtest.Dial(t, url)
	dbtest.Script(t, conn, `
		CREATE TABLE t (id int, v int); INSERT INTO t VALUES (1, 1);
		CREATE TABLE root (id int) PARTITION BY LIST (id);
		CREATE TABLE root_1 PARTITION OF root FOR VALUES IN (1); INSERT INTO root VALUES (1)`)
	for _, c := range []struct{ table, sql string }{
		{"t", "TRUNCATE t"},
		{"t", "ALTER TABLE t ALTER COLUMN v TYPE bigint"},
		{"root", "TRUNCATE root_1"},
		{"root", "CREATE TABLE root_2 PARTITION OF root FOR VALUES IN (2)"},
		{"root", "ALTER TABLE root DETACH PARTITION root_1"},
	} {
		t.Run("after "+c.sql, func(t *testing.T) {
			info := dbtest.Lookup(t, conn, "public", c.table)
			snap := open(t, conn)
			dbtest.Exec(t, ddl, c.sql)
			_, err := snap.CopyRows(t.Context(), info, []string{"id"}, "true", func(change.Row) error { return nil })
			if !errors.Is(err, pg.ErrSnapshotStale) {
				t.Errorf("got %v", err)
			}
			if err := snap.Close(t.Context()); err != nil {
				t.Error(err)
			}
			copyAll(t, conn, dbtest.Lookup(t, conn, "public", c.table), []string{"id"}, "true")
		})
	}
}

func TestCopyRowsStopsWhenItIsToldTo(t *testing.T) {
	url := pgtest.Database(t)
	admin := dbtest.Dial(t, url)
	dbtest.Exec(t, admin, "CREATE TABLE t AS SELECT g AS id FROM generate_series(1, 200000) g")
	info := dbtest.Lookup(t, admin, "public", "t")
	stop := errors.New("stop")
	for name, c := range map[string]struct {
		want error
		stop func(context.CancelFunc) error
	}{
		"the caller's error comes back as it is": {stop, func(context.CancelFunc) error { return stop }},
		"a cancelled context aborts it":          {context.Canceled, func(cancel context.CancelFunc) error { cancel(); return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			conn := dbtest.Dial(t, url)
			pid := conn.PgConn().PID()
			snap := open(t, conn)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			n, err := snap.CopyRows(ctx, info, []string{"id"}, "true", func(row change.Row) error {
				if string(row[0]) == "1000" {
					return c.stop(cancel)
				}
				return nil
			})
			if !errors.Is(err, c.want) || n == 200000 {
				t.Errorf("%d rows, %v", n, err)
			}
			if err := snap.Close(t.Context()); err != nil {
				t.Errorf("close: %v", err)
			}
			dbtest.Eventually(t, admin, "the server's transaction ends", "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)", pid)
		})
	}
}

func TestCopyRowsSaysWhichPrivilegeIsMissing(t *testing.T) {
	url := pgtest.Database(t)
	admin := dbtest.Dial(t, url)
	userURL, role := dbtest.As(t, admin, url, "")
	dbtest.Script(t, admin, `
		CREATE SCHEMA app; CREATE TABLE app.t (id int); CREATE TABLE guarded (id int); INSERT INTO guarded VALUES (1), (2);
		ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON guarded USING (id = 1);
		GRANT SELECT ON guarded TO `+pg.Ident(role))
	for _, c := range []struct{ schema, name, want string }{
		{"app", "t", `GRANT USAGE ON SCHEMA "app" TO ` + pg.Ident(role) + `; GRANT SELECT ON "app"."t" TO ` + pg.Ident(role)},
		{"public", "guarded", "ALTER ROLE " + pg.Ident(role) + " BYPASSRLS"},
	} {
		conn := dbtest.Dial(t, userURL)
		snap := open(t, conn)
		_, err := snap.CopyRows(t.Context(), dbtest.Lookup(t, conn, c.schema, c.name), []string{"id"}, "true", func(change.Row) error { return nil })
		needs, ok := errors.AsType[*pg.NeedsError](err)
		if !ok || needs.Statement != c.want {
			t.Fatalf("%s: %v", c.name, err)
		}
		if err := snap.Close(t.Context()); err != nil {
			t.Error(err)
		}
		dbtest.Script(t, admin, needs.Statement)
		copyAll(t, conn, dbtest.Lookup(t, conn, c.schema, c.name), []string{"id"}, "true")
	}
}

func TestCopyRowsReadsTablesThatTheRoleMayOnlySelect(t *testing.T) {
	url := pgtest.Database(t)
	admin := dbtest.Dial(t, url)
	userURL, role := dbtest.As(t, admin, url, "")
	dbtest.Script(t, admin, `CREATE TABLE root (id int) PARTITION BY LIST (id); CREATE TABLE root_1 PARTITION OF root FOR VALUES IN (1);
		INSERT INTO root VALUES (1); GRANT SELECT ON root TO `+pg.Ident(role))
	conn := dbtest.Dial(t, userURL)
	if rows := copyAll(t, conn, dbtest.Lookup(t, conn, "public", "root"), []string{"id"}, "true"); len(rows) != 1 {
		t.Errorf("%d rows", len(rows))
	}
}

func BenchmarkCopyRows(b *testing.B) {
	conn := dbtest.Dial(b, pgtest.Database(b))
	const rows = 200_000
	dbtest.Exec(b, conn, `CREATE TABLE t AS SELECT g AS id, now() AS at, 'some text of a row'::text AS v, NULL::int AS n, 42.50 AS price, true AS ok
		FROM generate_series(1, $1::int) g`, rows)
	info := dbtest.Lookup(b, conn, "public", "t")
	columns := []string{"id", "at", "v", "n", "price", "ok"}
	b.ReportAllocs()
	for b.Loop() {
		snap := open(b, conn)
		if n, err := snap.CopyRows(b.Context(), info, columns, "true", func(change.Row) error { return nil }); err != nil || n != rows {
			b.Fatal(n, err)
		}
		if err := snap.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
}
