package prepare_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/dbtest"
	"github.com/shapebus/shapebus/internal/pg/preflight"
	"github.com/shapebus/shapebus/internal/pg/prepare"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

// harmCase is a set-up in which Postgres may refuse an application's UPDATE and DELETE.
type harmCase struct {
	name string
	from int // the first major version that knows it
	sql  string
	kind prepare.HarmKind // "" if the writes pass
}

// Every case has a table t, of which leaf l is written; the identity of both is FULL unless the case sets it.
var harmCases = []harmCase{
	{"nothing else", 14, `CREATE TABLE t (id int PRIMARY KEY, v int)`, ""},
	{"a publication of all tables", 14, `CREATE TABLE t (id int PRIMARY KEY, v int); CREATE PUBLICATION o FOR ALL TABLES`, ""},
	{"a column list", 15, `CREATE TABLE t (id int PRIMARY KEY, v int); CREATE PUBLICATION o FOR TABLE t (id)`, prepare.HarmColumnList},
	{"a column list with every column", 15, `CREATE TABLE t (id int PRIMARY KEY, v int); CREATE PUBLICATION o FOR TABLE t (id, v)`, prepare.HarmColumnList},
	{"a column list of inserts only", 15, `CREATE TABLE t (id int PRIMARY KEY, v int); CREATE PUBLICATION o FOR TABLE t (id) WITH (publish = 'insert, truncate')`, ""},
	{"a row filter", 15, `CREATE TABLE t (id int PRIMARY KEY, v int); CREATE PUBLICATION o FOR TABLE t WHERE (v > 1)`, ""},
	{"a column list of the root", 15, `CREATE TABLE t (id int PRIMARY KEY, v int) PARTITION BY RANGE (id); CREATE TABLE l PARTITION OF t DEFAULT;
		CREATE PUBLICATION o FOR TABLE t (id) WITH (publish_via_partition_root = true)`, prepare.HarmColumnList},
	{"a column list of a leaf", 15, `CREATE TABLE t (id int PRIMARY KEY, v int) PARTITION BY RANGE (id); CREATE TABLE l PARTITION OF t DEFAULT;
		CREATE PUBLICATION o FOR TABLE l (id)`, prepare.HarmColumnList},
	{"a column list in the middle", 15, `CREATE TABLE t (id int PRIMARY KEY, v int) PARTITION BY RANGE (id); CREATE TABLE m PARTITION OF t DEFAULT PARTITION BY RANGE (id);
		CREATE TABLE l PARTITION OF m DEFAULT; CREATE PUBLICATION o FOR TABLE m (id) WITH (publish_via_partition_root = true)`, prepare.HarmColumnList},
	{"a column list below a root without one", 15, `CREATE TABLE t (id int PRIMARY KEY, v int) PARTITION BY RANGE (id); CREATE TABLE l PARTITION OF t DEFAULT;
		CREATE PUBLICATION o FOR TABLE t, l (id) WITH (publish_via_partition_root = true)`, ""},
	{"a leaf without an identity", 14, `CREATE TABLE t (id int, v int) PARTITION BY RANGE (id); CREATE TABLE l PARTITION OF t DEFAULT; ALTER TABLE l REPLICA IDENTITY DEFAULT`, prepare.HarmNoIdentity},
	{"a leaf with its key", 14, `CREATE TABLE t (id int PRIMARY KEY, v int) PARTITION BY RANGE (id); CREATE TABLE l PARTITION OF t DEFAULT; ALTER TABLE l REPLICA IDENTITY DEFAULT`, ""},
	{"a leaf whose key is deferrable", 14, `CREATE TABLE t (id int PRIMARY KEY DEFERRABLE, v int) PARTITION BY RANGE (id); CREATE TABLE l PARTITION OF t DEFAULT; ALTER TABLE l REPLICA IDENTITY DEFAULT`, prepare.HarmNoIdentity},
	{"a leaf without an index", 14, `CREATE TABLE t (id int NOT NULL, v int) PARTITION BY RANGE (id); CREATE TABLE l PARTITION OF t DEFAULT;
		CREATE UNIQUE INDEX x ON l (id); ALTER TABLE l REPLICA IDENTITY USING INDEX x; DROP INDEX x`, prepare.HarmNoIdentity},
	{"a leaf with an index", 14, `CREATE TABLE t (id int NOT NULL, v int) PARTITION BY RANGE (id); CREATE TABLE l PARTITION OF t DEFAULT;
		CREATE UNIQUE INDEX x ON l (id); ALTER TABLE l REPLICA IDENTITY USING INDEX x`, ""},
	{"a stored column that ours carries", 18, `CREATE TABLE t (id int PRIMARY KEY, v int, g int GENERATED ALWAYS AS (v + 1) STORED)`, ""},
	{"a stored column that another one leaves out", 18, `CREATE TABLE t (id int PRIMARY KEY, v int, g int GENERATED ALWAYS AS (v + 1) STORED);
		CREATE PUBLICATION o FOR TABLE t`, prepare.HarmGenerated},
	{"a stored column that a publication of all leaves out", 18, `CREATE TABLE t (id int PRIMARY KEY, v int, g int GENERATED ALWAYS AS (v + 1) STORED);
		CREATE PUBLICATION o FOR ALL TABLES`, prepare.HarmGenerated},
	{"a stored column that another one has in its list", 18, `CREATE TABLE t (id int PRIMARY KEY, v int, g int GENERATED ALWAYS AS (v + 1) STORED);
		CREATE PUBLICATION o FOR TABLE t (id, v, g)`, prepare.HarmColumnList},
	{"a stored column of a root", 18, `CREATE TABLE t (id int PRIMARY KEY, v int, g int GENERATED ALWAYS AS (v + 1) STORED) PARTITION BY RANGE (id);
		CREATE TABLE l PARTITION OF t DEFAULT; CREATE PUBLICATION o FOR TABLE t`, prepare.HarmGenerated},
	{"a virtual column", 18, `CREATE TABLE t (id int PRIMARY KEY, v int, g int GENERATED ALWAYS AS (v + 1) VIRTUAL)`, prepare.HarmVirtual},
	{"a virtual column of a root", 18, `CREATE TABLE t (id int PRIMARY KEY, v int, g int GENERATED ALWAYS AS (v + 1) VIRTUAL) PARTITION BY RANGE (id);
		CREATE TABLE l PARTITION OF t DEFAULT`, prepare.HarmVirtual},
	{"a stored column before 18", -17, `CREATE TABLE t (id int PRIMARY KEY, v int, g int GENERATED ALWAYS AS (v + 1) STORED)`, ""},
}

// begin skips a case that the server does not know, and leaves nothing of the one before.
func (c harmCase) begin(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	if major := pg.Major(conn); major < c.from || c.from < 0 && major > -c.from {
		t.Skipf("not with Postgres %d", major)
	}
	dbtest.Script(t, conn, "DROP SCHEMA public CASCADE; CREATE SCHEMA public; DROP PUBLICATION IF EXISTS o; DROP PUBLICATION IF EXISTS p")
}

// setUp runs a case, in which our publication carries t with REPLICA IDENTITY FULL, and names the
// table that an application writes.
func (c harmCase) setUp(t *testing.T, conn *pgx.Conn) (written string) {
	t.Helper()
	dbtest.Script(t, conn, c.sql)
	written = "t"
	if strings.Contains(c.sql, "TABLE l ") {
		written = "l"
	}
	if !strings.Contains(c.sql, "REPLICA IDENTITY") {
		dbtest.Script(t, conn, "ALTER TABLE t REPLICA IDENTITY FULL; ALTER TABLE "+written+" REPLICA IDENTITY FULL")
	}
	if err := prepare.EnsurePublication(t.Context(), conn, "p"); err != nil {
		t.Fatal(err)
	}
	dbtest.Exec(t, conn, "ALTER PUBLICATION p ADD TABLE t")
	return written
}

func TestHarmIsWhatPostgresRefuses(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	for _, c := range harmCases {
		t.Run(c.name, func(t *testing.T) {
			c.begin(t, conn)
			written := c.setUp(t, conn)
			oid := dbtest.Lookup(t, conn, "public", "t").Relation.OID
			var refused []string
			for _, sql := range []string{"UPDATE t SET v = v", "DELETE FROM t", "UPDATE " + written + " SET v = v", "DELETE FROM " + written} {
				if _, err := conn.Exec(t.Context(), sql); err != nil {
					refused = append(refused, err.Error())
				}
			}
			found, err := prepare.Harms(t.Context(), conn, []uint32{oid}, "p")
			if err != nil {
				t.Fatal(err)
			}
			if (len(refused) > 0) != (c.kind != "") || (len(found) > 0) != (c.kind != "") {
				t.Errorf("Postgres refuses %q, found %v, want %q", refused, found, c.kind)
			}
			for _, h := range found {
				if h.Kind != c.kind || h.Table != oid {
					t.Errorf("found %q (%s), want %q", h.Kind, h, c.kind)
				}
			}
		})
	}
}

func TestEnsureTableDoesNoHarm(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	for _, c := range harmCases {
		if c.kind == prepare.HarmNoIdentity { // EnsureTable is what gives it one
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			c.begin(t, conn)
			if err := prepare.EnsurePublication(t.Context(), conn, "p"); err != nil {
				t.Fatal(err)
			}
			dbtest.Script(t, conn, c.sql)
			before := dbtest.Lookup(t, conn, "public", "t", "p")
			_, err := prepare.EnsureTable(t.Context(), conn, "p", before, 0)
			if (err != nil) != (c.kind != "") {
				t.Errorf("%v, want %q", err, c.kind)
			}
			if err != nil && (!pg.Permanent(err) || !strings.Contains(err.Error(), "refuses every UPDATE and DELETE")) {
				t.Errorf("%v", err)
			}
			if err != nil && dbtest.Lookup(t, conn, "public", "t", "p").Structure() != before.Structure() {
				t.Error("something was changed all the same")
			}
			for _, sql := range []string{"INSERT INTO t VALUES (1)", "UPDATE t SET v = 2", "DELETE FROM t"} {
				dbtest.Exec(t, conn, sql)
			}
		})
	}
}

// What waits for a lock behind one that EnsureTable holds must not be ended as the victim of a deadlock.
func TestEnsureTableLetsTheApplicationWinADeadlock(t *testing.T) {
	url := pgtest.Database(t)
	conn, app, admin := dbtest.Dial(t, url), dbtest.Dial(t, url), dbtest.Dial(t, url)
	dbtest.Script(t, conn, `CREATE TABLE t (id int PRIMARY KEY, v int) PARTITION BY RANGE (id); CREATE TABLE l PARTITION OF t DEFAULT; INSERT INTO t VALUES (1, 1);
		ALTER TABLE t REPLICA IDENTITY FULL`)
	if err := prepare.EnsurePublication(t.Context(), conn, "p"); err != nil {
		t.Fatal(err)
	}
	info := dbtest.Lookup(t, conn, "public", "t", "p")
	dbtest.Exec(t, app, "BEGIN")
	dbtest.Exec(t, app, "UPDATE l SET v = 2")
	done := make(chan error, 1)
	go func() {
		_, err := prepare.EnsureTable(t.Context(), conn, "p", info, 10*time.Second)
		done <- err
	}()
	dbtest.Eventually(t, admin, "EnsureTable has the root and waits for the leaf", `SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted AND relation = 'l'::regclass)`, conn.PgConn().PID())
	dbtest.Exec(t, app, "UPDATE t SET v = 3")
	dbtest.Exec(t, app, "COMMIT")
	if err := <-done; err != nil {
		if _, ok := errors.AsType[*pg.LockedError](err); !ok {
			t.Error(err)
		}
	}
}

func TestCheckTellsOfHarm(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	for _, c := range harmCases {
		t.Run(c.name, func(t *testing.T) {
			c.begin(t, conn)
			c.setUp(t, conn)
			told := false
			for _, f := range preflight.Check(t.Context(), conn, preflight.Options{Publication: "p"}) {
				told = told || f.Name == "application's writes" && !f.OK && f.Fix != ""
			}
			if told != (c.kind != "") {
				t.Errorf("check tells of harm: %t, want %q", told, c.kind)
			}
		})
	}
}

// An application may have a limit of its own to what it waits for a lock. What queues behind a lock
// that EnsureTable cannot get must not wait for as long as that tries.
func TestEnsureTableHoldsUpNobodyForLong(t *testing.T) {
	url := pgtest.Database(t)
	conn, long, app, admin := dbtest.Dial(t, url), dbtest.Dial(t, url), dbtest.Dial(t, url), dbtest.Dial(t, url)
	dbtest.Exec(t, conn, "CREATE TABLE t (id int)")
	if err := prepare.EnsurePublication(t.Context(), conn, "p"); err != nil {
		t.Fatal(err)
	}
	info := dbtest.Lookup(t, conn, "public", "t", "p")
	dbtest.Exec(t, long, "BEGIN")
	dbtest.Exec(t, long, "INSERT INTO t VALUES (1)")
	dbtest.Exec(t, app, "SET lock_timeout = '5s'")
	done := make(chan error, 1)
	go func() {
		_, err := prepare.EnsureTable(t.Context(), conn, "p", info, time.Minute)
		done <- err
	}()
	for range 3 {
		dbtest.Eventually(t, admin, "EnsureTable waits", `SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)`, conn.PgConn().PID())
		dbtest.Exec(t, app, "INSERT INTO t VALUES (2)")
	}
	dbtest.Exec(t, long, "COMMIT")
	if err := <-done; err != nil {
		t.Error(err)
	}
}
