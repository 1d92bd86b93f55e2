package snapshots

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/dbtest"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

func ignoreRow(change.Row) error { return nil }

func TestASnapshotIsOfTheTableThatWasLookedUp(t *testing.T) {
	for _, c := range []struct {
		name, sql string
		before    bool // the snapshot, else after it
		stale     bool
	}{
		{"another table takes the name before the snapshot", "ALTER TABLE t RENAME TO old; ALTER TABLE other RENAME TO t", true, false},
		{"another table takes the name after the snapshot", "ALTER TABLE t RENAME TO old; ALTER TABLE other RENAME TO t", false, true},
		{"columns swap names before the snapshot", "ALTER TABLE t RENAME a TO x; ALTER TABLE t RENAME b TO a; ALTER TABLE t RENAME x TO b", true, false},
		{"columns swap names after the snapshot", "ALTER TABLE t RENAME a TO x; ALTER TABLE t RENAME b TO a; ALTER TABLE t RENAME x TO b", false, true},
		{"a column goes before the snapshot", "ALTER TABLE t DROP b", true, false},
		{"a column goes after the snapshot", "ALTER TABLE t DROP b", false, true},
		{"the table goes before the snapshot", "DROP TABLE t", true, false},
		{"the table goes after the snapshot", "DROP TABLE t", false, true},
		{"the table is made again before the snapshot", "DROP TABLE t; ALTER TABLE other RENAME TO t", true, false},
		{"the table is made again after the snapshot", "DROP TABLE t; ALTER TABLE other RENAME TO t", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			url := pgtest.Database(t)
			conn, ddl := dbtest.Dial(t, url), dbtest.Dial(t, url)
			dbtest.Script(t, ddl, `CREATE TABLE t (id int, b text, a text); INSERT INTO t VALUES (1, 'b', 'a');
				CREATE TABLE other (id int, b text, a text); INSERT INTO other VALUES (2, 'B', 'A')`)
			info := dbtest.Lookup(t, conn, "public", "t")
			if c.before {
				dbtest.Script(t, ddl, c.sql)
			}
			snap := open(t, conn)
			if !c.before {
				dbtest.Script(t, ddl, c.sql)
			}
			for range 2 { // a refusal leaves the snapshot as it was
				_, err := snap.CopyRows(t.Context(), info, []string{"id", "a", "b"}, "true", ignoreRow)
				changed, ok := errors.AsType[*pg.ChangedError](err)
				if errors.Is(err, pg.ErrSnapshotStale) != c.stale || ok == c.stale {
					t.Errorf("got %v", err)
				}
				if ok && changed.Reason == "" {
					t.Error("no reason")
				}
			}
			if err := snap.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAPartitionThatComesWhileRowsAreReadMakesThemStale(t *testing.T) {
	url := pgtest.Database(t)
	conn, ddl := dbtest.Dial(t, url), dbtest.Dial(t, url)
	dbtest.Script(t, ddl, `CREATE TABLE root (id int) PARTITION BY LIST (id);
		CREATE TABLE root_1 PARTITION OF root FOR VALUES IN (1); INSERT INTO root VALUES (1);
		CREATE TABLE root_2 (id int); INSERT INTO root_2 VALUES (2)`)
	snap := open(t, conn)
	_, err := snap.CopyRows(t.Context(), dbtest.Lookup(t, conn, "public", "root"), []string{"id"}, "true", func(change.Row) error {
		dbtest.Exec(t, ddl, "ALTER TABLE root ATTACH PARTITION root_2 FOR VALUES IN (2)")
		return nil
	})
	if !errors.Is(err, pg.ErrSnapshotStale) {
		t.Errorf("got %v", err)
	}
	if err := snap.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestASnapshotDoesNotQueueForALockedTable(t *testing.T) {
	url := pgtest.Database(t)
	conn, ddl := dbtest.Dial(t, url), dbtest.Dial(t, url)
	dbtest.Script(t, ddl, "CREATE TABLE t (id int); CREATE TABLE u (id int); INSERT INTO u VALUES (1)")
	info := dbtest.Lookup(t, conn, "public", "t")
	dbtest.Script(t, ddl, "BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
	snap := open(t, conn)
	began := time.Now()
	_, err := snap.CopyRows(t.Context(), info, []string{"id"}, "true", ignoreRow)
	if locked, ok := errors.AsType[*pg.LockedError](err); !ok || time.Since(began) < locked.Timeout {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
	if rows := copyIn(t, snap, dbtest.Lookup(t, ddl, "public", "u"), []string{"id"}, "true"); len(rows) != 1 {
		t.Errorf("%d rows of another table in the same snapshot", len(rows))
	}
	dbtest.Exec(t, ddl, "ROLLBACK")
	copyIn(t, snap, info, []string{"id"}, "true")
	if err := snap.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestWhatASnapshotReadsIsWhatItSaw changes tables at random between the
// opening of a snapshot and the reading of its rows. What is read equals what a
// SELECT at the opening found, or the snapshot is stale.
func TestWhatASnapshotReadsIsWhatItSaw(t *testing.T) {
	url := pgtest.Database(t)
	conn, ddl := dbtest.Dial(t, url), dbtest.Dial(t, url)
	dbtest.Script(t, ddl, `
		CREATE TABLE plain (id int PRIMARY KEY, v text); INSERT INTO plain SELECT i, 'v' || i FROM generate_series(1, 20) i;
		CREATE TABLE root (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
		CREATE TABLE low PARTITION OF root FOR VALUES FROM (0) TO (100);
		CREATE TABLE high PARTITION OF root FOR VALUES FROM (100) TO (200) PARTITION BY RANGE (id);
		CREATE TABLE high_1 PARTITION OF high FOR VALUES FROM (100) TO (150);
		INSERT INTO root SELECT i, 'v' || i FROM generate_series(90, 110) i`)
	steps := []string{
		"BEGIN; CREATE TEMP TABLE k ON COMMIT DROP AS SELECT * FROM plain; TRUNCATE plain; INSERT INTO plain SELECT * FROM k; COMMIT",
		"BEGIN; CREATE TEMP TABLE k ON COMMIT DROP AS SELECT * FROM root; TRUNCATE root; INSERT INTO root SELECT * FROM k; COMMIT",
		"BEGIN; CREATE TEMP TABLE k ON COMMIT DROP AS SELECT * FROM high_1; TRUNCATE high_1; INSERT INTO root SELECT * FROM k; COMMIT",
		"ALTER TABLE plain ALTER v TYPE varchar(50); ALTER TABLE plain ALTER v TYPE text",
		"ALTER TABLE plain ALTER id TYPE bigint; ALTER TABLE plain ALTER id TYPE int",
		"VACUUM FULL plain", "CLUSTER plain USING plain_pkey", "VACUUM FULL low",
		"UPDATE plain SET v = v || 'x' WHERE id % 3 = 0", "DELETE FROM plain WHERE id % 7 = 1", "INSERT INTO plain SELECT 1 + max(id), 'new' FROM plain",
		"UPDATE root SET v = v || 'x'",
		"BEGIN; CREATE TABLE again (LIKE plain INCLUDING ALL); INSERT INTO again SELECT id, v || '!' FROM plain; DROP TABLE plain; ALTER TABLE again RENAME TO plain; ALTER INDEX again_pkey RENAME TO plain_pkey; COMMIT",
		"ALTER TABLE plain RENAME v TO w; ALTER TABLE plain RENAME w TO v",
		"BEGIN; ALTER TABLE root DETACH PARTITION low; UPDATE low SET v = v || 'y'; ALTER TABLE root ATTACH PARTITION low FOR VALUES FROM (0) TO (100); COMMIT",
		"TRUNCATE low", "INSERT INTO root SELECT 1 + max(id), 'new' FROM low HAVING max(id) < 99", "INSERT INTO root VALUES (5, 'five') ON CONFLICT DO NOTHING",
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	read, stale := 0, 0
	for range 150 {
		infos := []*pg.TableInfo{dbtest.Lookup(t, conn, "public", "plain"), dbtest.Lookup(t, conn, "public", "root")}
		snap := open(t, conn)
		var want []string
		for _, info := range infos {
			want = append(want, selectText(t, ddl, info))
		}
		var done []string
		for range r.IntN(3) {
			sql := steps[r.IntN(len(steps))]
			done = append(done, sql)
			dbtest.Script(t, ddl, sql)
		}
		for i, info := range infos {
			rows, err := snap.rowsText(t, info)
			switch {
			case errors.Is(err, pg.ErrSnapshotStale):
				stale++
				if len(done) == 0 {
					t.Errorf("%s is stale and nothing happened", info)
				}
			case err != nil:
				t.Errorf("%s after %q: %v", info, done, err)
			case rows != want[i]:
				t.Fatalf("%s after %q: read %s, want %s", info, done, rows, want[i])
			default:
				read++
			}
		}
		if err := snap.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if read < 30 || stale < 30 {
		t.Errorf("%d tables read, %d stale: the schedule tests little", read, stale)
	}
}

// selectText is what a SELECT finds now, as rowsText prints it.
func selectText(tb testing.TB, conn *pgx.Conn, t *pg.TableInfo) string {
	tb.Helper()
	var out string
	err := conn.QueryRow(tb.Context(), "SELECT coalesce(string_agg(id || '=' || v, ' ' ORDER BY id), '') FROM "+t.From()).Scan(&out)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// rowsText reads the table in the snapshot, sorted by id.
func (s *Snapshot) rowsText(tb testing.TB, t *pg.TableInfo) (string, error) {
	tb.Helper()
	byID := map[int]string{}
	_, err := s.CopyRows(tb.Context(), t, []string{"id", "v"}, "true", func(row change.Row) error {
		var id int
		_, err := fmt.Sscan(string(row[0]), &id)
		byID[id] = string(row[1])
		return err
	})
	var all []string
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		all = append(all, fmt.Sprintf("%d=%s", id, byID[id]))
	}
	return strings.Join(all, " "), err
}
