package ingest

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// story prints entries for people: one line an op, one a commit marker.
func story(entries []entry) []string {
	var lines []string
	for _, e := range entries {
		if c := e.control; c != nil {
			if c.Kind != wire.ControlReset {
				lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s%s", c.Kind, c.Payload, c.Reason)))
			}
			continue
		}
		for _, op := range e.frag.Ops {
			line := fmt.Sprintf("%s %d %s", e.rel.Name, op.Index, op.Kind)
			if op.Old != nil {
				line += " old"
				if op.KeyOnly {
					line += " key"
				}
				line += " " + rowText(op.Old)
			}
			if op.New != nil {
				line += " new " + rowText(op.New)
			}
			lines = append(lines, line)
		}
		if e.frag.Last {
			lines = append(lines, fmt.Sprintf("%s commit %d", e.rel.Name, e.frag.End))
		}
	}
	return lines
}

func rowText(r change.Row) string {
	values := make([]string, len(r))
	for i, v := range r {
		switch {
		case v == nil:
			values[i] = "NULL"
		case change.IsUnchanged(v):
			values[i] = "unchanged"
		case len(v) > 100:
			values[i] = fmt.Sprintf("%c*%d", v[0], len(v))
		default:
			values[i] = string(v)
		}
	}
	return "(" + strings.Join(values, ",") + ")"
}

func (b *bench) expect(want ...string) {
	b.t.Helper()
	if diff := cmp.Diff(want, story(b.upToBarrier())); diff != "" {
		b.t.Error(diff)
	}
}

func TestChanges(t *testing.T) {
	for _, c := range []struct {
		name   string
		setup  []string
		tables []string
		run    []string // each one transaction
		want   []string
	}{
		{
			"inserts, updates and deletes carry what a full identity gives",
			[]string{"CREATE TABLE t (id int PRIMARY KEY, v text)", "ALTER TABLE t REPLICA IDENTITY FULL"},
			[]string{"t"},
			[]string{"INSERT INTO t VALUES (1, 'a'), (2, NULL), (3, '')", "UPDATE t SET v = 'b' WHERE id = 1", "DELETE FROM t WHERE id = 2"},
			[]string{
				"t 0 insert new (1,a)", "t 2 insert new (2,NULL)", "t 4 insert new (3,)", "t commit 6",
				"t 0 update old (1,a) new (1,b)", "t commit 2",
				"t 0 delete old (2,NULL)", "t commit 2",
			},
		},
		{
			"with the default identity there is the old key when it changed",
			[]string{"CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (1, 'a')"},
			[]string{"t"},
			[]string{"UPDATE t SET v = 'b'", "UPDATE t SET id = 2", "DELETE FROM t"},
			[]string{
				"t 0 update new (1,b)", "t commit 2",
				"t 0 update old key (1,NULL) new (2,b)", "t commit 2",
				"t 0 delete old key (2,NULL)", "t commit 2",
			},
		},
		{
			"a changed key with a full identity is one op with both rows",
			[]string{"CREATE TABLE t (id int PRIMARY KEY, v text)", "ALTER TABLE t REPLICA IDENTITY FULL", "INSERT INTO t VALUES (1, 'a')"},
			[]string{"t"},
			[]string{"UPDATE t SET id = 2"},
			[]string{"t 0 update old (1,a) new (2,a)", "t commit 2"},
		},
		{
			"a table without a primary key",
			[]string{"CREATE TABLE t (v text)", "ALTER TABLE t REPLICA IDENTITY FULL"},
			[]string{"t"},
			[]string{"INSERT INTO t VALUES ('a'), ('a')", "DELETE FROM t"},
			[]string{"t 0 insert new (a)", "t 2 insert new (a)", "t commit 4", "t 0 delete old (a)", "t 2 delete old (a)", "t commit 4"},
		},
		{
			"unchanged large values come from the old row",
			[]string{
				"CREATE TABLE t (id int PRIMARY KEY, n int, big text)", "ALTER TABLE t ALTER big SET STORAGE EXTERNAL", "ALTER TABLE t REPLICA IDENTITY FULL",
				"INSERT INTO t VALUES (1, 1, repeat('x', 9000))",
			},
			[]string{"t"},
			[]string{"UPDATE t SET n = 2"},
			[]string{"t 0 update old (1,1,x*9000) new (1,2,x*9000)", "t commit 2"},
		},
		{
			"without a full identity unchanged large values are marked",
			[]string{"CREATE TABLE t (id int PRIMARY KEY, n int, big text)", "ALTER TABLE t ALTER big SET STORAGE EXTERNAL", "INSERT INTO t VALUES (1, 1, repeat('x', 9000))"},
			[]string{"t"},
			[]string{"UPDATE t SET n = 2"},
			[]string{"t 0 update new (1,2,unchanged)", "t commit 2"},
		},
		{
			"a truncation of several tables is an op each",
			[]string{"CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)", "CREATE TABLE c (id int PRIMARY KEY)"},
			[]string{"a", "b"},
			[]string{"INSERT INTO a VALUES (1)", "TRUNCATE a, b, c"},
			[]string{"a 0 insert new (1)", "a commit 2", "a 0 truncate", "a commit 4", "b 2 truncate", "b commit 4", "barrier"},
		},
		{
			"every table touched gets its commit marker",
			[]string{"CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)"},
			[]string{"a", "b"},
			[]string{"INSERT INTO b VALUES (1); INSERT INTO a VALUES (2)"},
			[]string{"a 2 insert new (2)", "a commit 4", "b 0 insert new (1)", "b commit 4"},
		},
		{
			"a partitioned table appears as its root, and a row that moves as delete and insert",
			[]string{
				"CREATE TABLE p (id int, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region)",
				"CREATE TABLE p_eu PARTITION OF p FOR VALUES IN ('eu')", "CREATE TABLE p_us PARTITION OF p FOR VALUES IN ('us')",
				"ALTER TABLE p REPLICA IDENTITY FULL", "ALTER TABLE p_eu REPLICA IDENTITY FULL", "ALTER TABLE p_us REPLICA IDENTITY FULL",
			},
			[]string{"p"},
			[]string{"INSERT INTO p VALUES (1, 'eu'), (2, 'us')", "UPDATE p SET region = 'us' WHERE id = 1"},
			[]string{
				"p 0 insert new (1,eu)", "p 2 insert new (2,us)", "p commit 4", "barrier", // with each leaf the root is described
				"p 0 delete old (1,eu)", "p 2 insert new (1,us)", "p commit 4",
			},
		},
		{
			"what was rolled back to a savepoint is not there, and indexes have no hole",
			[]string{"CREATE TABLE t (id int PRIMARY KEY)"},
			[]string{"t"},
			[]string{"INSERT INTO t VALUES (1); SAVEPOINT a; INSERT INTO t VALUES (2); ROLLBACK TO a; SAVEPOINT b; INSERT INTO t VALUES (3); RELEASE b; INSERT INTO t VALUES (4)"},
			[]string{"t 0 insert new (1)", "t 2 insert new (3)", "t 4 insert new (4)", "t commit 6"},
		},
		{
			"transactions on other tables leave no trace",
			[]string{"CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE other (id int)"},
			[]string{"t"},
			[]string{"INSERT INTO other VALUES (1)", "INSERT INTO t VALUES (1)", "INSERT INTO other VALUES (2)"},
			[]string{"t 0 insert new (1)", "t commit 2"},
		},
		{
			"changed schemas are announced where they changed",
			[]string{"CREATE TABLE t (id int PRIMARY KEY)"},
			[]string{"t"},
			[]string{
				"INSERT INTO t VALUES (1)", "ALTER TABLE t ADD v text", "INSERT INTO t VALUES (2, 'x')",
				"ALTER TABLE t RENAME TO u", "INSERT INTO u VALUES (3, 'y')",
			},
			[]string{
				"t 0 insert new (1)", "t commit 2",
				"relation column v was added to public.t", "t 0 insert new (2,x)", "t commit 2",
				"relation table public.t was renamed to public.u", "u 0 insert new (3,y)", "u commit 2",
			},
		},
		{
			"a schema that changes in a transaction takes its place among the ops",
			[]string{"CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE a (id int PRIMARY KEY)"},
			[]string{"a", "t"},
			[]string{"INSERT INTO a VALUES (1); INSERT INTO t VALUES (1); ALTER TABLE t ADD v text; INSERT INTO a VALUES (2); INSERT INTO t VALUES (2, 'x'); INSERT INTO a VALUES (3)"},
			[]string{
				"t 2 insert new (1)", "a 0 insert new (1)", "a 4 insert new (2)",
				"relation column v was added to public.t",
				"t 6 insert new (2,x)", "t commit 10", "a 8 insert new (3)", "a commit 10",
			},
		},
		{
			"a table that is described again as it was is told of",
			[]string{"CREATE TABLE t (id int PRIMARY KEY, v text)"},
			[]string{"t"},
			[]string{"INSERT INTO t VALUES (1, 'x')", "ALTER TABLE t ALTER v TYPE text USING upper(v)", "INSERT INTO t VALUES (2, 'y')", "INSERT INTO t VALUES (3, 'z')"},
			[]string{"t 0 insert new (1,x)", "t commit 2", "t 0 insert new (2,y)", "t commit 2", "barrier", "t 0 insert new (3,z)", "t commit 2"},
		},
		{
			"barriers stand where they were written, transactional ones behind their transaction",
			[]string{"CREATE TABLE t (id int PRIMARY KEY)"},
			[]string{"t"},
			[]string{
				"SELECT pg_logical_emit_message(true, 'shapebus', 'one'); INSERT INTO t VALUES (1); SELECT pg_logical_emit_message(true, 'shapebus', 'two')",
				"SELECT pg_logical_emit_message(false, 'shapebus', 'three')",
				"SELECT pg_logical_emit_message(true, 'another', 'x')",
				"SELECT pg_logical_emit_message(true, 'shapebus', 'four')",
				"INSERT INTO t VALUES (2)",
			},
			[]string{"t 0 insert new (1)", "t commit 2", "barrier one", "barrier two", "barrier three", "barrier four", "t 0 insert new (2)", "t commit 2"},
		},
		{
			"hostile names",
			[]string{`CREATE SCHEMA "we.ird > *"`, `CREATE TABLE "we.ird > *"."tä ""b""" ("c.1" int PRIMARY KEY)`},
			[]string{`"we.ird > *"."tä ""b"""`},
			[]string{`INSERT INTO "we.ird > *"."tä ""b""" VALUES (1)`},
			[]string{`tä "b" 0 insert new (1)`, `tä "b" commit 2`},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, "")
			for _, sql := range c.setup {
				b.exec(sql)
			}
			b.publish(c.tables...)
			b.start()
			for _, sql := range c.run {
				b.transaction(sql)
			}
			b.expect(c.want...)
		})
	}

	t.Run("stored generated columns are there from Postgres 18 on", func(t *testing.T) {
		b := newBench(t, "")
		b.exec("CREATE TABLE t (id int PRIMARY KEY, d int GENERATED ALWAYS AS (id * 2) STORED, e text)")
		b.exec("ALTER TABLE t REPLICA IDENTITY FULL")
		b.publish("t")
		b.start()
		for _, sql := range []string{"INSERT INTO t VALUES (1, DEFAULT, 'x')", "UPDATE t SET id = 2", "DELETE FROM t"} {
			b.exec(sql)
		}
		want := []string{"t 0 insert new (1,x)", "t commit 2", "t 0 update old (1,x) new (2,x)", "t commit 2", "t 0 delete old (2,x)", "t commit 2"}
		if pg.Major(b.db) >= 18 {
			want = []string{"t 0 insert new (1,2,x)", "t commit 2", "t 0 update old (1,2,x) new (2,4,x)", "t commit 2", "t 0 delete old (2,4,x)", "t commit 2"}
		}
		b.expect(want...)
	})

	t.Run("a relation is the one that the catalog gives", func(t *testing.T) {
		b := newBench(t, "")
		b.exec("CREATE TABLE t (id bigint PRIMARY KEY, dropped int, v varchar(10), g int GENERATED ALWAYS AS (1) STORED, n numeric(10,2)[])")
		b.exec("ALTER TABLE t DROP dropped")
		b.exec("ALTER TABLE t REPLICA IDENTITY FULL")
		b.publish("t")
		b.start()
		b.exec("INSERT INTO t VALUES (1, 'x')")
		entries := b.upToBarrier()
		info, err := pg.LookupTable(t.Context(), b.db, "public", "t")
		if err != nil {
			t.Fatal(err)
		}
		got := entries[len(entries)-1]
		if diff := cmp.Diff(&info.Relation, got.rel); diff != "" {
			t.Error(diff)
		}
		if want := b.source.ChangeSubject("public", "t"); got.subject != want {
			t.Errorf("subject %s, want %s", got.subject, want)
		}
	})

	t.Run("a row of 20 MB travels in parts", func(t *testing.T) {
		b := newBench(t, "")
		b.exec("CREATE TABLE t (id int PRIMARY KEY, big text)")
		b.publish("t")
		b.start()
		b.exec("INSERT INTO t VALUES (1, 'small'), (2, repeat(md5('x'), 640 * 1024)), (3, 'small')")
		var want string
		if err := b.db.QueryRow(t.Context(), "SELECT encode(sha256(big::bytea), 'hex') FROM t WHERE id = 2").Scan(&want); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range b.upToBarrier() {
			for _, op := range e.frag.Ops {
				got = append(got, fmt.Sprintf("%s %d %x", op.New[0], len(op.New[1]), sha256.Sum256(op.New[1])))
			}
		}
		if len(got) != 3 || got[1] != fmt.Sprintf("2 %d %s", 20<<20, want) {
			t.Errorf("got %v", got)
		}
	})
}

// transaction runs statements in one transaction.
func (b *bench) transaction(sql string) {
	b.t.Helper()
	err := pgx.BeginFunc(b.t.Context(), b.db, func(tx pgx.Tx) error {
		_, err := tx.Exec(b.t.Context(), sql)
		return err
	})
	if err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
}

func TestFragments(t *testing.T) {
	b := newBench(t, "")
	b.exec("CREATE TABLE t (id int PRIMARY KEY)")
	b.publish("t")
	const limit = 7
	b.start(func(c *Config) { c.FragmentOps = limit })
	for _, n := range []int{1, limit - 1, limit, limit + 1, 2*limit - 1, 2 * limit, 2*limit + 1, 5 * limit} {
		t.Run(fmt.Sprintf("a transaction of %d ops has fragments of at most %d and one commit marker at the end", n, limit), func(t *testing.T) {
			b.t = t
			b.exec("TRUNCATE t")
			start := len(b.upToBarrier())
			b.exec("INSERT INTO t SELECT generate_series(1, $1)", n)
			var ids []string
			entries := slices.DeleteFunc(b.upToBarrier()[start+1:], func(e entry) bool { return e.control != nil })
			for i, e := range entries {
				if len(e.frag.Ops) > limit {
					t.Errorf("fragment %d has %d ops", i, len(e.frag.Ops))
				}
				if e.frag.First != (i == 0) || e.frag.Last != (i == len(entries)-1) {
					t.Errorf("fragment %d of %d: first %v, last %v", i, len(entries), e.frag.First, e.frag.Last)
				}
				if e.frag.Group != uint64(len(ids)*change.OpStep) {
					t.Errorf("fragment %d: group %d after %d ops", i, e.frag.Group, len(ids))
				}
				for _, op := range e.frag.Ops {
					if op.Index != uint64(len(ids)*change.OpStep) {
						t.Errorf("op %d has index %d", len(ids), op.Index)
					}
					ids = append(ids, string(op.New[0]))
				}
			}
			if len(ids) != n || len(entries) != n/limit+1 {
				t.Errorf("%d ops in %d fragments", len(ids), len(entries))
			}
			if end := entries[len(entries)-1].frag.End; end != uint64(n*change.OpStep) {
				t.Errorf("end %d", end)
			}
		})
	}
}

func TestBarrierMatchesEmit(t *testing.T) {
	b := newBench(t, "")
	b.publish()
	b.start()
	lsn, err := pg.EmitBarrier(t.Context(), b.db, topology.BarrierPrefix, "here")
	if err != nil {
		t.Fatal(err)
	}
	found := b.readUntil(func(e entry) bool { return e.control != nil && e.control.Payload == "here" })
	for _, e := range found {
		if e.control == nil {
			t.Errorf("unexpected %v", e)
		}
	}
	b.readUntil(func(e entry) bool {
		if e.control == nil || e.control.Payload != "here" {
			return false
		}
		if e.lsn < lsn || change.LSN(e.control.LSN) != e.lsn {
			t.Errorf("barrier written at %s stands at %s with LSN %s", lsn, e.lsn, change.LSN(e.control.LSN))
		}
		return true
	})
}
