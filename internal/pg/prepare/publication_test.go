package prepare_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/dbtest"
	"github.com/shapebus/shapebus/internal/pg/prepare"
	"github.com/shapebus/shapebus/internal/pg/slots"
	"github.com/shapebus/shapebus/internal/pg/snapshots"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

func count(messages []string, kind byte) int {
	n := 0
	for _, m := range messages {
		if m[0] == kind {
			n++
		}
	}
	return n
}

func createSlot(tb testing.TB, conn *pgx.Conn) string {
	tb.Helper()
	name := dbtest.SlotName(conn)
	if err := slots.Create(tb.Context(), conn, name); err != nil {
		tb.Fatal(err)
	}
	return name
}

func ensure(tb testing.TB, conn *pgx.Conn, publication string, info *pg.TableInfo) bool {
	tb.Helper()
	changed, err := prepare.EnsureTable(tb.Context(), conn, publication, info, 0)
	if err != nil {
		tb.Fatal(err)
	}
	return changed
}

// snapshotRows is how many rows of a table a snapshot of its own holds.
func snapshotRows(tb testing.TB, conn *pgx.Conn, info *pg.TableInfo) int {
	tb.Helper()
	snap, err := snapshots.Open(tb.Context(), conn)
	if err != nil {
		tb.Fatal(err)
	}
	n, err := snap.CopyRows(tb.Context(), info, []string{info.Columns[0].Name}, "true", func(change.Row) error { return nil })
	if err != nil {
		tb.Fatal(err)
	}
	if err := snap.Close(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return int(n)
}

func TestEnsurePublication(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	for range 2 {
		if err := prepare.EnsurePublication(t.Context(), conn, "p"); err != nil {
			t.Fatal(err)
		}
	}
	for create, want := range map[string]string{
		"CREATE PUBLICATION inserts WITH (publish = 'insert', publish_via_partition_root = true)": `ALTER PUBLICATION "inserts" SET (publish = 'insert, update, delete, truncate')`,
		"CREATE PUBLICATION leaves": `ALTER PUBLICATION "leaves" SET (publish_via_partition_root = true)`,
	} {
		dbtest.Exec(t, conn, create)
		name := strings.Fields(create)[2]
		err := prepare.EnsurePublication(t.Context(), conn, name)
		needs, ok := errors.AsType[*pg.NeedsError](err)
		if !ok || needs.Statement != want {
			t.Fatalf("%s: %v", name, err)
		}
		dbtest.Exec(t, conn, needs.Statement)
		if err := prepare.EnsurePublication(t.Context(), conn, name); err != nil {
			t.Errorf("after running it: %v", err)
		}
	}
}

func TestEnsureTableLeavesNoHoleBehindAnOpenWriter(t *testing.T) {
	url := pgtest.Database(t)
	conn, writer, admin := dbtest.Dial(t, url), dbtest.Dial(t, url), dbtest.Dial(t, url)
	dbtest.Exec(t, conn, "CREATE TABLE t (id int)")
	if err := prepare.EnsurePublication(t.Context(), conn, "p"); err != nil {
		t.Fatal(err)
	}
	slot := createSlot(t, conn)
	info := dbtest.Lookup(t, conn, "public", "t")
	dbtest.Exec(t, writer, "BEGIN")
	dbtest.Exec(t, writer, "INSERT INTO t VALUES (1)")

	changed, err := prepare.EnsureTable(t.Context(), conn, "p", info, 200*time.Millisecond)
	locked, ok := errors.AsType[*pg.LockedError](err)
	if !ok || changed {
		t.Fatalf("with a writer open: changed %t, %v", changed, err)
	}
	if want := fmt.Sprintf("pid %d", writer.PgConn().PID()); !strings.Contains(locked.Error(), want) || !strings.Contains(locked.Error(), "public.t") {
		t.Errorf("%q does not say who holds the table (%s)", locked, want)
	}
	if now := dbtest.Lookup(t, conn, "public", "t"); now.Structure() != info.Structure() {
		t.Errorf("the failed attempt left something behind: %s", info.Diff(now))
	}

	done := make(chan error, 1)
	go func() {
		changed, err := prepare.EnsureTable(t.Context(), conn, "p", info, 20*time.Second)
		if err == nil && !changed {
			err = errors.New("nothing changed")
		}
		done <- err
	}()
	dbtest.Eventually(t, admin, "EnsureTable waits for the writer", `SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)`, conn.PgConn().PID())
	dbtest.Exec(t, writer, "INSERT INTO t VALUES (2)")
	dbtest.Exec(t, writer, "COMMIT")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	// The snapshot holds what came before the fence, the stream what comes after.
	rows := snapshotRows(t, conn, info)
	dbtest.Exec(t, writer, "INSERT INTO t VALUES (3)")
	messages := dbtest.Decoded(t, conn, slot, "p")
	if rows != 2 || count(messages, 'I') != 1 {
		t.Errorf("%d rows in the snapshot, %d in the stream; want 2 and 1", rows, count(messages, 'I'))
	}
}

func TestEnsureTableWaitsOutWritersOlderThanAMembershipMadeByHand(t *testing.T) {
	url := pgtest.Database(t)
	conn, writer, later := dbtest.Dial(t, url), dbtest.Dial(t, url), dbtest.Dial(t, url)
	dbtest.Exec(t, conn, "CREATE TABLE t (id int)")
	dbtest.Exec(t, conn, "ALTER TABLE t REPLICA IDENTITY FULL")
	if err := prepare.EnsurePublication(t.Context(), conn, "p"); err != nil {
		t.Fatal(err)
	}
	dbtest.Exec(t, writer, "BEGIN")
	dbtest.Exec(t, writer, "INSERT INTO t VALUES (1)")
	dbtest.Exec(t, conn, "ALTER PUBLICATION p ADD TABLE t") // returns at once: here is the hole
	info := dbtest.Lookup(t, conn, "public", "t")
	if _, err := prepare.EnsureTable(t.Context(), conn, "p", info, 200*time.Millisecond); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("with an early writer open: %v", err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := prepare.EnsureTable(t.Context(), conn, "p", info, 20*time.Second)
		done <- err
	}()
	dbtest.Exec(t, writer, "COMMIT")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if rows := snapshotRows(t, conn, info); rows != 1 {
		t.Errorf("the early writer's row is in no snapshot: %d rows", rows)
	}
	// Later writers are in the stream in full; nobody waits for them.
	dbtest.Exec(t, later, "BEGIN")
	dbtest.Exec(t, later, "INSERT INTO t VALUES (2)")
	if changed, err := prepare.EnsureTable(t.Context(), conn, "p", info, 200*time.Millisecond); err != nil || changed {
		t.Errorf("with a later writer open: changed %t, %v", changed, err)
	}
	dbtest.Exec(t, later, "ROLLBACK")
}

func TestEnsureTableWaitsOutPreparedTransactionsToo(t *testing.T) {
	server := pgtest.Own(t, map[string]string{"max_prepared_transactions": "2"})
	conn := dbtest.Dial(t, server.URL("postgres"))
	dbtest.Script(t, conn, "CREATE TABLE t (id int); ALTER TABLE t REPLICA IDENTITY FULL; CREATE PUBLICATION p WITH (publish_via_partition_root = true)")
	dbtest.Script(t, conn, "BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'early'")
	dbtest.Exec(t, conn, "ALTER PUBLICATION p ADD TABLE t")
	info := dbtest.Lookup(t, conn, "public", "t")
	_, err := prepare.EnsureTable(t.Context(), conn, "p", info, 100*time.Millisecond)
	if locked, ok := errors.AsType[*pg.LockedError](err); !ok || !strings.Contains(locked.Error(), "a prepared transaction") {
		t.Errorf("with a prepared writer: %v", err)
	}
	dbtest.Exec(t, conn, "COMMIT PREPARED 'early'")
	if ensure(t, conn, "p", info) {
		t.Error("something was left to do")
	}
}

func TestATableIsInAPublicationOfItsSchema(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	if pg.Major(conn) < 15 {
		t.Skip("publications of schemas came with Postgres 15")
	}
	dbtest.Script(t, conn, "CREATE TABLE t (id int); CREATE PUBLICATION p FOR TABLES IN SCHEMA public WITH (publish_via_partition_root = true)")
	info := dbtest.Lookup(t, conn, "public", "t", "p")
	if in, err := dbtest.InPublication(t.Context(), conn, "p", info.Relation.OID); err != nil || !in {
		t.Errorf("in the publication: %t, %v", in, err)
	}
	if !ensure(t, conn, "p", info) || ensure(t, conn, "p", info) {
		t.Error("the first call must give it its identity, the second change nothing")
	}
}

func TestThePublicationCarriesStoredGeneratedColumns(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	if pg.Major(conn) < 18 {
		t.Skip("publications of generated columns came with Postgres 18")
	}
	dbtest.Script(t, conn, "CREATE PUBLICATION p WITH (publish_via_partition_root = true); CREATE TABLE t (id int, g int GENERATED ALWAYS AS (id + 1) STORED)")
	if g := dbtest.Lookup(t, conn, "public", "t", "p").Columns[1]; !g.Generated {
		t.Errorf("%+v is said to be in the stream", g)
	}
	if err := prepare.EnsurePublication(t.Context(), conn, "p"); err != nil {
		t.Fatal(err)
	}
	if g := dbtest.Lookup(t, conn, "public", "t", "p").Columns[1]; g.Generated {
		t.Errorf("%+v is said not to be in the stream", g)
	}
}

func TestAPublicationOfSomebodyElseMayLeaveGeneratedColumnsOut(t *testing.T) {
	url := pgtest.Database(t)
	admin := dbtest.Dial(t, url)
	if pg.Major(admin) < 18 {
		t.Skip("publications of generated columns came with Postgres 18")
	}
	userURL, role := dbtest.As(t, admin, url, "")
	dbtest.Script(t, admin, `CREATE PUBLICATION p FOR ALL TABLES WITH (publish_via_partition_root = true);
		CREATE TABLE t (id int, g int GENERATED ALWAYS AS (id + 1) STORED); CREATE TABLE plain (id int);
		ALTER TABLE t OWNER TO `+role+"; ALTER TABLE plain OWNER TO "+role)
	conn := dbtest.Dial(t, userURL)
	if err := prepare.EnsurePublication(t.Context(), conn, "p"); err != nil {
		t.Fatalf("it does for all other tables: %v", err)
	}
	ensure(t, conn, "p", dbtest.Lookup(t, conn, "public", "plain", "p"))
	_, err := prepare.EnsureTable(t.Context(), conn, "p", dbtest.Lookup(t, conn, "public", "t", "p"), 0)
	needs, ok := errors.AsType[*pg.NeedsError](err)
	if !ok || needs.Statement != `ALTER PUBLICATION "p" SET (publish_generated_columns = stored)` {
		t.Fatal(err)
	}
	dbtest.Script(t, admin, needs.Statement)
	ensure(t, conn, "p", dbtest.Lookup(t, conn, "public", "t", "p"))
}

func TestEnsureTableTakesNoLocksWhenNothingHasToChange(t *testing.T) {
	url := pgtest.Database(t)
	conn, holder := dbtest.Dial(t, url), dbtest.Dial(t, url)
	dbtest.Exec(t, conn, "CREATE TABLE t (id int)")
	if err := prepare.EnsurePublication(t.Context(), conn, "p"); err != nil {
		t.Fatal(err)
	}
	info := dbtest.Lookup(t, conn, "public", "t")
	if !ensure(t, conn, "p", info) {
		t.Fatal("nothing changed the first time")
	}
	dbtest.Exec(t, holder, "BEGIN")
	dbtest.Exec(t, holder, "LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
	if changed, err := prepare.EnsureTable(t.Context(), conn, "p", info, time.Second); err != nil || changed {
		t.Errorf("changed %t, %v", changed, err)
	}
	if _, err := pg.LookupTables(t.Context(), conn, []uint32{info.Relation.OID}); err != nil {
		t.Error(err)
	}
	dbtest.Exec(t, holder, "ROLLBACK")
}

func TestEnsureTableOfManyAtOnce(t *testing.T) {
	url := pgtest.Database(t)
	conn := dbtest.Dial(t, url)
	dbtest.Exec(t, conn, "CREATE TABLE t (id int)")
	if err := prepare.EnsurePublication(t.Context(), conn, "p"); err != nil {
		t.Fatal(err)
	}
	info := dbtest.Lookup(t, conn, "public", "t")
	const n = 4
	errs := make(chan error, n)
	for range n {
		c := dbtest.Dial(t, url)
		go func() {
			_, err := prepare.EnsureTable(t.Context(), c, "p", info, 10*time.Second)
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestEnsureTableOfPartitionsGivesEachLeafItsIdentity(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	dbtest.Script(t, conn, `
		CREATE TABLE root (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
		CREATE TABLE root_1 PARTITION OF root FOR VALUES FROM (0) TO (10);
		CREATE TABLE root_2 PARTITION OF root FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (id);
		CREATE TABLE root_2a PARTITION OF root_2 FOR VALUES FROM (10) TO (20)`)
	if err := prepare.EnsurePublication(t.Context(), conn, "p"); err != nil {
		t.Fatal(err)
	}
	slot := createSlot(t, conn)
	info := dbtest.Lookup(t, conn, "public", "root", "p")
	if !ensure(t, conn, "p", info) || ensure(t, conn, "p", info) {
		t.Error("the first call must change something, the second nothing")
	}
	dbtest.Script(t, conn, "INSERT INTO root VALUES (1, 'a'), (11, 'b'); UPDATE root SET v = 'c'; UPDATE root SET id = 12 WHERE id = 1")
	messages := dbtest.Decoded(t, conn, slot, "p")
	now := dbtest.Lookup(t, conn, "public", "root", "p")
	// The leaves' own Relation messages come as well, but no change refers to them.
	if want := relationMessage(now); !slices.Contains(messages, want) {
		t.Errorf("no %q in %q", want, messages)
	}
	for _, m := range messages {
		if strings.IndexByte("IUD", m[0]) >= 0 && m[1:5] != relationMessage(now)[1:5] {
			t.Errorf("a change of another relation than the root: %q", m)
		}
		if m[0] == 'U' && m[5] != 'O' {
			t.Errorf("an update without its whole old row: %q", m)
		}
	}
	if r, u, d := count(messages, 'R'), count(messages, 'U'), count(messages, 'D'); r == 0 || u != 2 || d != 1 {
		t.Errorf("%d relations, %d updates, %d deletes", r, u, d)
	}
	// A partition that comes later shows up in Structure, and the next call sees to it.
	dbtest.Exec(t, conn, "CREATE TABLE root_3 PARTITION OF root FOR VALUES FROM (20) TO (30)")
	if dbtest.Lookup(t, conn, "public", "root", "p").Structure() == now.Structure() || !ensure(t, conn, "p", now) {
		t.Error("the new partition went unnoticed")
	}
}

// relationMessage is pgoutput's Relation message for the table, from its description.
func relationMessage(info *pg.TableInfo) string {
	be := func(b []byte, n int, v uint32) []byte {
		for i := n - 1; i >= 0; i-- {
			b = append(b, byte(v>>(8*i)))
		}
		return b
	}
	r := info.Relation
	b := be([]byte{'R'}, 4, r.OID)
	b = append(b, r.Schema+"\x00"+r.Name+"\x00"...)
	b = append(b, byte(r.Identity))
	b = be(b, 2, uint32(len(r.Columns)))
	for _, c := range r.Columns {
		key := byte(0)
		if r.Identity == change.IdentityFull || r.Identity == change.IdentityDefault && slices.Contains(info.PrimaryKey, c.Name) {
			key = 1
		}
		b = append(b, key)
		b = append(b, c.Name+"\x00"...)
		b = be(b, 4, c.Type)
		b = be(b, 4, uint32(c.TypeMod))
	}
	return string(b)
}

func TestRelationIsWhatTheStreamSays(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	dbtest.Script(t, conn, `
		CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN positive AS int CHECK (value > 0);
		CREATE TABLE t (dropped int, id bigint PRIMARY KEY, c char(5), v varchar(7), n numeric(9,3), m mood, p positive, a int[], ts timestamptz(3),
			g int GENERATED ALWAYS AS (1 + 1) STORED, "we""ird 🦆" jsonb);
		ALTER TABLE t DROP COLUMN dropped`)
	if err := prepare.EnsurePublication(t.Context(), conn, "p"); err != nil {
		t.Fatal(err)
	}
	slot := createSlot(t, conn)
	dbtest.Exec(t, conn, "ALTER PUBLICATION p ADD TABLE t")
	for _, sql := range []string{"SELECT", "ALTER TABLE t REPLICA IDENTITY FULL", "ALTER TABLE t ADD COLUMN x date"} {
		dbtest.Exec(t, conn, sql)
		dbtest.Exec(t, conn, "INSERT INTO t (id) SELECT coalesce(max(id), 0) + 1 FROM t")
		want := relationMessage(dbtest.Lookup(t, conn, "public", "t"))
		if messages := dbtest.Decoded(t, conn, slot, "p"); !slices.Contains(messages, want) {
			t.Errorf("after %s: no %q in %q", sql, want, messages)
		}
	}
}

func TestEnsureTableRefusesATableThatHasGotAChild(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	dbtest.Script(t, conn, "CREATE TABLE parent (id int)")
	if err := prepare.EnsurePublication(t.Context(), conn, "p"); err != nil {
		t.Fatal(err)
	}
	parent := dbtest.Lookup(t, conn, "public", "parent")
	dbtest.Script(t, conn, "CREATE TABLE child () INHERITS (parent)")
	_, err := prepare.EnsureTable(t.Context(), conn, "p", parent, 0)
	if _, ok := errors.AsType[*pg.UnsupportedError](err); !ok {
		t.Errorf("got %v, want it refused", err)
	}
	for _, oid := range []uint32{parent.Relation.OID, dbtest.Lookup(t, conn, "public", "child").Relation.OID} {
		if in, err := dbtest.InPublication(t.Context(), conn, "p", oid); err != nil || in {
			t.Errorf("table %d is in the publication: %t, %v", oid, in, err)
		}
	}
}

func TestEnsureTableWithAPublicationForAllTablesChangesTheIdentityOnly(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	dbtest.Script(t, conn, "CREATE TABLE t (id int); CREATE PUBLICATION p FOR ALL TABLES WITH (publish_via_partition_root = true)")
	info := dbtest.Lookup(t, conn, "public", "t")
	if in, err := dbtest.InPublication(t.Context(), conn, "p", info.Relation.OID); err != nil || !in {
		t.Fatalf("in the publication: %t, %v", in, err)
	}
	if !ensure(t, conn, "p", info) || ensure(t, conn, "p", info) {
		t.Error("the first call must change something, the second nothing")
	}
	if got := dbtest.Lookup(t, conn, "public", "t").Relation.Identity; got != change.IdentityFull {
		t.Errorf("identity %s", got)
	}
}

func TestEnsureTableRefusesAMembershipOfPartOfTheTable(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	if pg.Major(conn) < 15 {
		t.Skip("row filters and column lists came with Postgres 15")
	}
	for name, part := range map[string]string{"a row filter": "WHERE (id > 1)", "a column list": "(id)"} {
		t.Run(name, func(t *testing.T) {
			dbtest.Script(t, conn, `DROP TABLE IF EXISTS t; DROP PUBLICATION IF EXISTS p; CREATE TABLE t (id int, v int); ALTER TABLE t REPLICA IDENTITY FULL;
				CREATE PUBLICATION p FOR TABLE t `+part+` WITH (publish_via_partition_root = true)`)
			info := dbtest.Lookup(t, conn, "public", "t")
			_, err := prepare.EnsureTable(t.Context(), conn, "p", info, 0)
			needs, ok := errors.AsType[*pg.NeedsError](err)
			if !ok || !strings.Contains(needs.What, name) {
				t.Fatal(err)
			}
			dbtest.Script(t, conn, needs.Statement)
			ensure(t, conn, "p", info)
		})
	}
}

func TestEnsureTableWithoutPrivilegesSaysWhatTheOwnerRuns(t *testing.T) {
	url := pgtest.Database(t)
	admin := dbtest.Dial(t, url)
	userURL, _ := dbtest.As(t, admin, url, "")
	dbtest.Script(t, admin, `
		CREATE TABLE plain (id int); CREATE TABLE full_already (id int); ALTER TABLE full_already REPLICA IDENTITY FULL;
		CREATE TABLE root (id int) PARTITION BY LIST (id); CREATE TABLE root_1 PARTITION OF root FOR VALUES IN (1)`)
	if err := prepare.EnsurePublication(t.Context(), admin, "p"); err != nil {
		t.Fatal(err)
	}
	conn := dbtest.Dial(t, userURL)
	for name, want := range map[string]string{
		"plain":        `BEGIN; ALTER TABLE "public"."plain" REPLICA IDENTITY FULL; ALTER PUBLICATION "p" ADD TABLE ONLY "public"."plain"; COMMIT`,
		"full_already": `BEGIN; LOCK TABLE ONLY "public"."full_already" IN SHARE ROW EXCLUSIVE MODE; ALTER PUBLICATION "p" ADD TABLE ONLY "public"."full_already"; COMMIT`,
		"root":         `BEGIN; ALTER TABLE "public"."root" REPLICA IDENTITY FULL; ALTER TABLE "public"."root_1" REPLICA IDENTITY FULL; ALTER PUBLICATION "p" ADD TABLE "public"."root"; COMMIT`,
	} {
		info := dbtest.Lookup(t, conn, "public", name)
		_, err := prepare.EnsureTable(t.Context(), conn, "p", info, 0)
		needs, ok := errors.AsType[*pg.NeedsError](err)
		if !ok || needs.Statement != want || !strings.Contains(err.Error(), "role postgres") {
			t.Fatalf("%s: %v", name, err)
		}
		dbtest.Script(t, admin, needs.Statement)
		if ensure(t, conn, "p", info) {
			t.Errorf("%s: something was left to do", name)
		}
	}
	err := prepare.EnsurePublication(t.Context(), conn, "another")
	if needs, ok := errors.AsType[*pg.NeedsError](err); !ok || !strings.Contains(needs.Statement, "GRANT CREATE ON DATABASE") {
		t.Errorf("%v", err)
	}
}

func TestEnsureTableOfAGoneTable(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	dbtest.Script(t, conn, "CREATE TABLE t (id int); CREATE TABLE u (id int)")
	gone, renamed := dbtest.Lookup(t, conn, "public", "t"), dbtest.Lookup(t, conn, "public", "u")
	dbtest.Script(t, conn, "DROP TABLE t; ALTER TABLE u RENAME TO w; CREATE TABLE u (id int)")
	if _, err := prepare.EnsureTable(t.Context(), conn, "p", gone, 0); err == nil || !strings.Contains(err.Error(), "public.t does not exist") {
		t.Errorf("dropped: %v", err)
	}
	if _, err := prepare.EnsureTable(t.Context(), conn, "p", renamed, 0); err == nil || !strings.Contains(err.Error(), "was renamed to public.w") {
		t.Errorf("renamed: %v", err)
	}
	if _, err := prepare.EnsureTable(t.Context(), conn, "nowhere", dbtest.Lookup(t, conn, "public", "u"), 0); err == nil || !strings.Contains(err.Error(), "publication nowhere does not exist") {
		t.Errorf("no publication: %v", err)
	}
}
