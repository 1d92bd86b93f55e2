package prepare_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/dbtest"
	"github.com/shapebus/shapebus/internal/pg/prepare"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

// prepare does what a consumer does for the first shape of a table.
func prepareTable(tb testing.TB, conn *pgx.Conn, known *prepare.Prior) *prepare.Prior {
	tb.Helper()
	var prior *prepare.Prior
	info := dbtest.Lookup(tb, conn, "public", "t", "p")
	err := prepare.Preparing(tb.Context(), conn, info, time.Second, func() error {
		var now *pg.TableInfo
		var err error
		if prior, now, err = prepare.PriorTo(tb.Context(), conn, "p", info, known); err != nil {
			return err
		}
		_, err = prepare.EnsureTable(tb.Context(), conn, "p", now, 0)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	prior.Member = dbtest.Lookup(tb, conn, "public", "t", "p").MemberOf("p")
	return prior
}

// identities is what the tables of schema public are: name, identity, and a star if p carries it by name.
func identities(tb testing.TB, conn *pgx.Conn) string {
	tb.Helper()
	var s string
	err := conn.QueryRow(tb.Context(), `
		SELECT coalesce(string_agg(c.relname || ' ' || c.relreplident::text || coalesce((SELECT ' ' || x.indexrelid::regclass::text FROM pg_index x
			WHERE x.indrelid = c.oid AND x.indisreplident), '') || CASE WHEN EXISTS (SELECT FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
			WHERE p.pubname = 'p' AND r.prrelid = c.oid) THEN '*' ELSE '' END, ', ' ORDER BY c.relname), '')
		FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')`).Scan(&s)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

const parted = `CREATE TABLE t (id int PRIMARY KEY, v int) PARTITION BY RANGE (id); CREATE TABLE l PARTITION OF t DEFAULT; `

func TestATableIsGivenBackAsItWas(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	for _, c := range []struct {
		name  string
		from  int
		setup string // with publication p there
		then  string // while it is prepared
		want  string // of identities, afterwards; "" for what it was before
	}{
		{"with a key", 14, `CREATE TABLE t (id int PRIMARY KEY, v int)`, "", ""},
		{"without a key", 14, `CREATE TABLE t (id int, v int)`, "", ""},
		{"with a deferrable key", 14, `CREATE TABLE t (id int PRIMARY KEY DEFERRABLE, v int)`, "", ""},
		{"identity nothing", 14, `CREATE TABLE t (id int PRIMARY KEY, v int); ALTER TABLE t REPLICA IDENTITY NOTHING`, "", ""},
		{"identity of an index", 14, `CREATE TABLE t (id int NOT NULL, v int); CREATE UNIQUE INDEX x ON t (id); ALTER TABLE t REPLICA IDENTITY USING INDEX x`, "", ""},
		{
			"that index was renamed", 14, `CREATE TABLE t (id int NOT NULL, v int); CREATE UNIQUE INDEX x ON t (id); ALTER TABLE t REPLICA IDENTITY USING INDEX x`,
			`ALTER INDEX x RENAME TO y`, "t i y",
		},
		{
			"that index was dropped", 14, `CREATE TABLE t (id int NOT NULL, v int); CREATE UNIQUE INDEX x ON t (id); ALTER TABLE t REPLICA IDENTITY USING INDEX x`,
			`DROP INDEX x`, "t f",
		},
		{"full before us", 14, `CREATE TABLE t (id int PRIMARY KEY, v int); ALTER TABLE t REPLICA IDENTITY FULL`, "", ""},
		{"in the publication before us", 14, `CREATE TABLE t (id int PRIMARY KEY, v int); ALTER PUBLICATION p ADD TABLE t`, "", ""},
		{"in the publication before us, without a key: updates failed before", 14, `CREATE TABLE t (id int, v int); ALTER PUBLICATION p ADD TABLE t`, "", "t f*"},
		{"partitions", 14, parted + `ALTER TABLE l REPLICA IDENTITY NOTHING`, "", ""},
		{"a partition that came later keeps its own", 14, parted, `CREATE TABLE m PARTITION OF t FOR VALUES FROM (0) TO (9); ALTER TABLE m REPLICA IDENTITY FULL`, "l d, m f, t d"},
		{"a partition that was detached", 14, parted, `ALTER TABLE t DETACH PARTITION l`, "l d, t d"},
		{"a partition that was dropped", 14, parted, `DROP TABLE l`, "t d"},
		{"somebody changed the identity", 14, `CREATE TABLE t (id int PRIMARY KEY, v int)`, `ALTER TABLE t REPLICA IDENTITY NOTHING`, "t n"},
		{"somebody took it out", 14, `CREATE TABLE t (id int PRIMARY KEY, v int)`, `ALTER PUBLICATION p DROP TABLE t`, "t d"},
		{"somebody took it out and in again", 14, `CREATE TABLE t (id int PRIMARY KEY, v int)`, `ALTER PUBLICATION p DROP TABLE t; ALTER PUBLICATION p ADD TABLE t`, "t d*"},
		{"renamed", 14, `CREATE TABLE t (id int PRIMARY KEY, v int)`, `ALTER TABLE t RENAME TO u`, "u d"},
		{"dropped", 14, `CREATE TABLE t (id int PRIMARY KEY, v int)`, `DROP TABLE t`, "-"},
		{"another publication needs full", 14, `CREATE TABLE t (id int, v int)`, `CREATE PUBLICATION o FOR TABLE t`, "t f"},
		{"another publication filters by what the key lacks", 15, `CREATE TABLE t (id int PRIMARY KEY, v int)`, `CREATE PUBLICATION o FOR TABLE t WHERE (v > 1)`, "t f"},
		{"another publication has a column list", 15, `CREATE TABLE t (id int PRIMARY KEY, v int)`, `CREATE PUBLICATION o FOR TABLE t (id)`, ""},
		{"another publication has a column list of partitions", 15, parted, `CREATE PUBLICATION o FOR TABLE l (id)`, ""},
		{"a virtual column came", 18, `CREATE TABLE t (id int PRIMARY KEY, v int)`, `ALTER TABLE t ADD COLUMN g int GENERATED ALWAYS AS (id) VIRTUAL`, ""},
		{"only generated columns may be named", 14, `CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY)`, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			harmCase{from: c.from}.begin(t, conn)
			if err := prepare.EnsurePublication(t.Context(), conn, "p"); err != nil {
				t.Fatal(err)
			}
			dbtest.Script(t, conn, c.setup)
			want := c.want
			switch want {
			case "":
				want = identities(t, conn)
			case "-":
				want = ""
			}
			prior := prepareTable(t, conn, prepareTable(t, conn, nil)) // the second finds nothing to do
			dbtest.Script(t, conn, c.then)
			out, err := prepare.GiveBack(t.Context(), conn, "p", prior, 0, func(context.Context) error { return nil })
			if err != nil {
				t.Fatal(err)
			}
			if got := identities(t, conn); got != want {
				t.Errorf("%s, want %s (%+v)", got, want, out)
			}
			if again, err := prepare.GiveBack(t.Context(), conn, "p", prior, 0, func(context.Context) error { return nil }); err != nil || again.Left || len(again.Restored) > 0 {
				t.Errorf("a second time: %+v, %v", again, err)
			}
		})
	}
}

func TestATableIsNotGivenBackWhenSomebodyWantsItMeanwhile(t *testing.T) {
	url := pgtest.Database(t)
	conn, other, admin := dbtest.Dial(t, url), dbtest.Dial(t, url), dbtest.Dial(t, url)
	dbtest.Script(t, conn, "CREATE TABLE t (id int PRIMARY KEY, v int)")
	if err := prepare.EnsurePublication(t.Context(), conn, "p"); err != nil {
		t.Fatal(err)
	}
	prior := prepareTable(t, conn, nil)
	prepared := identities(t, conn)

	wanted := errors.New("wanted")
	if _, err := prepare.GiveBack(t.Context(), conn, "p", prior, 0, func(context.Context) error { return wanted }); !errors.Is(err, wanted) {
		t.Errorf("%v", err)
	}
	if got := identities(t, conn); got != prepared {
		t.Errorf("changed all the same: %s", got)
	}
	info := dbtest.Lookup(t, conn, "public", "t", "p")
	err := prepare.Preparing(t.Context(), other, info, time.Second, func() error {
		_, err := prepare.GiveBack(t.Context(), conn, "p", prior, 50*time.Millisecond, func(context.Context) error { t.Error("asked"); return nil })
		return err
	})
	if _, ok := errors.AsType[*pg.LockedError](err); !ok {
		t.Errorf("while it is being prepared: %v", err)
	}
	// The other way round: who wants the table waits until it is given back, and finds that it has to be prepared again.
	done := make(chan *prepare.Prior, 1)
	_, err = prepare.GiveBack(t.Context(), conn, "p", prior, 0, func(context.Context) error {
		go func() { done <- prepareTable(t, other, prior) }()                                                                                                                     //nolint:contextcheck // the test's is as good
		dbtest.Eventually(t, admin, "the other one waits", `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND pid = $1)`, other.PgConn().PID()) //nolint:contextcheck // the test's is as good
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if again := <-done; !again.Added || len(again.Identities) != 1 || identities(t, conn) != prepared {
		t.Errorf("prepared again: %+v, %s", again, identities(t, conn))
	}
}

func TestGiveBackWithoutPrivilegesSaysWhatTheOwnerRuns(t *testing.T) {
	url := pgtest.Database(t)
	admin := dbtest.Dial(t, url)
	dbtest.Script(t, admin, "CREATE TABLE t (id int PRIMARY KEY)")
	if err := prepare.EnsurePublication(t.Context(), admin, "p"); err != nil {
		t.Fatal(err)
	}
	prior := prepareTable(t, admin, nil)
	userURL, _ := dbtest.As(t, admin, url, "")
	_, err := prepare.GiveBack(t.Context(), dbtest.Dial(t, userURL), "p", prior, 0, func(context.Context) error { return nil })
	needs, ok := errors.AsType[*pg.NeedsError](err)
	if !ok || !strings.Contains(needs.Statement, `ALTER PUBLICATION "p" DROP TABLE`) {
		t.Error(err)
	}
	if got, want := identities(t, admin), "t f*"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
