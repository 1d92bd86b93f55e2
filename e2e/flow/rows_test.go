package flow

import (
	"fmt"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
)

const tasks = `
CREATE TABLE tasks (id bigint PRIMARY KEY, owner int, title text, done boolean NOT NULL DEFAULT false);
INSERT INTO tasks SELECT i, i % 5, 'task ' || i, i % 2 = 0 FROM generate_series(1, 100) i;
`

// TestRowsReachTheLogs plays each kind of change and compares every log with
// its SELECT after each.
func TestRowsReachTheLogs(t *testing.T) {
	s := stack.Start(t, tasks)
	all := s.Create(client.Definition{Table: "tasks"})
	mine := s.Create(client.Definition{Table: "tasks", Where: "owner = $1", Params: []any{"3"}})
	open := s.Create(client.Definition{Table: "public.tasks", Where: "NOT done AND (owner < 2 OR owner IS NULL)", Columns: []string{"id", "owner"}})
	null := s.Create(client.Definition{Table: "tasks", Where: "owner = $1 OR owner = $2 OR id <> $1", Params: []any{nil, 3}})
	shapes := []*client.Shape{all, mine, open, null}
	s.Verify(shapes...)
	steps := []struct{ name, sql string }{
		{"insert", `INSERT INTO tasks VALUES (101, 3, 'new', false), (102, NULL, '', false), (103, 1, NULL, true)`},
		{"update in place", `UPDATE tasks SET title = title || '!' WHERE id <= 10`},
		{"move in and out", `UPDATE tasks SET owner = (owner + 1) % 5 WHERE id % 7 = 0`},
		{"update to NULL", `UPDATE tasks SET owner = NULL WHERE id = 3`},
		{"no change", `UPDATE tasks SET title = title WHERE id < 50`},
		{"changed key", `UPDATE tasks SET id = id + 1000 WHERE id IN (1, 3, 8)`},
		{"swapped keys", `BEGIN; UPDATE tasks SET id = -1 WHERE id = 4; UPDATE tasks SET id = 4 WHERE id = 5; UPDATE tasks SET id = 5 WHERE id = -1; COMMIT`},
		{"delete", `DELETE FROM tasks WHERE id BETWEEN 20 AND 30`},
		{"delete and insert again", `BEGIN; DELETE FROM tasks WHERE id = 40; INSERT INTO tasks VALUES (40, 3, 'again', false); COMMIT`},
		{"savepoint rolled back", `BEGIN; INSERT INTO tasks VALUES (201, 3, 'a', false); SAVEPOINT x; INSERT INTO tasks VALUES (202, 3, 'b', false); ROLLBACK TO x; INSERT INTO tasks VALUES (203, 3, 'c', false); COMMIT`},
		{"rolled back", `BEGIN; INSERT INTO tasks VALUES (300, 3, 'never', false); ROLLBACK`},
		{"large", `UPDATE tasks SET title = repeat('x', 5000) || id`},
		{"truncate", `TRUNCATE tasks`},
		{"truncate amid changes", `BEGIN; INSERT INTO tasks VALUES (1, 3, 'a', false); TRUNCATE tasks; INSERT INTO tasks VALUES (2, 3, 'b', false), (3, 1, 'c', false); COMMIT`},
	}
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			s.Exec(step.sql)
			s.Verify(shapes...)
		})
	}
}

// TestTablesOfEveryKind covers tables that are not plain.
func TestTablesOfEveryKind(t *testing.T) {
	s := stack.Start(t, `
CREATE TABLE nokey (a int, b text);
INSERT INTO nokey VALUES (1, 'x'), (1, 'x'), (2, NULL), (NULL, NULL);
CREATE TABLE parted (id int, region text, n int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE parted_eu PARTITION OF parted FOR VALUES IN ('eu');
CREATE TABLE parted_us PARTITION OF parted FOR VALUES IN ('us');
INSERT INTO parted SELECT i, CASE WHEN i % 2 = 0 THEN 'eu' ELSE 'us' END, i FROM generate_series(1, 20) i;
CREATE TABLE gen (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED);
INSERT INTO gen (id, a) VALUES (1, 1), (2, 2);
CREATE SCHEMA "We ird.";
CREATE TABLE "We ird."."Ta""ble*>" ("I d" int PRIMARY KEY, "select" text);
INSERT INTO "We ird."."Ta""ble*>" VALUES (1, E'tab\tnewline\nbackslash\\ \\N'), (2, NULL);
CREATE TABLE wide (id int PRIMARY KEY, flag int, body text);
ALTER TABLE wide ALTER body SET STORAGE EXTERNAL;
INSERT INTO wide VALUES (1, 0, repeat('toast', 5000)), (2, 1, 'small');
CREATE TABLE dropped (id int PRIMARY KEY, gone int, kept text);
ALTER TABLE dropped DROP COLUMN gone;
INSERT INTO dropped VALUES (1, 'a');
`)
	shapes := []*client.Shape{
		s.Create(client.Definition{Table: "nokey"}),
		s.Create(client.Definition{Table: "nokey", Columns: []string{"b"}, Where: "a = 1"}),
		s.Create(client.Definition{Table: "parted"}),
		s.Create(client.Definition{Table: "parted", Where: "region = 'eu'"}),
		s.Create(client.Definition{Table: "gen"}),
		s.Create(client.Definition{Table: `"We ird."."Ta""ble*>"`, Where: `"select" IS NULL`}),
		s.Create(client.Definition{Table: `"We ird."."Ta""ble*>"`}),
		s.Create(client.Definition{Table: "wide", Where: "flag = 1"}),
		s.Create(client.Definition{Table: "dropped"}),
	}
	s.Verify(shapes...)
	for _, step := range []struct{ name, sql string }{
		{"duplicates without a key", `INSERT INTO nokey VALUES (1, 'x'), (3, 'z'); DELETE FROM nokey WHERE ctid = (SELECT ctid FROM nokey WHERE a = 1 LIMIT 1); UPDATE nokey SET b = 'y' WHERE a = 1`},
		{"a row moves between partitions", `UPDATE parted SET region = 'us' WHERE id IN (2, 4); UPDATE parted SET n = n + 1; DELETE FROM parted WHERE id = 6; INSERT INTO parted VALUES (100, 'eu', 1)`},
		{"a partitioned table is truncated", `TRUNCATE parted; INSERT INTO parted VALUES (7, 'eu', 7)`},
		{"generated columns, which are in the stream from Postgres 18 on", `INSERT INTO gen (id, a) VALUES (3, 3); UPDATE gen SET a = 10 WHERE id = 1; DELETE FROM gen WHERE id = 2`},
		{"hostile names", `INSERT INTO "We ird."."Ta""ble*>" VALUES (3, NULL), (4, ''); UPDATE "We ird."."Ta""ble*>" SET "select" = NULL WHERE "I d" = 1; DELETE FROM "We ird."."Ta""ble*>" WHERE "I d" = 2`},
		{"an unchanged large value comes along", `UPDATE wide SET flag = 1 WHERE id = 1; UPDATE wide SET flag = 2 WHERE id = 2`},
		{"a dropped column", `INSERT INTO dropped VALUES (2, 'b'); UPDATE dropped SET kept = 'c' WHERE id = 1`},
	} {
		t.Run(step.name, func(t *testing.T) {
			s.Exec(step.sql)
			s.Verify(shapes...)
		})
	}
}

// TestHugeRow sends rows larger than a NATS message both ways: in the snapshot
// and in the stream.
func TestHugeRow(t *testing.T) {
	s := stack.Start(t, `
CREATE TABLE blobs (id int PRIMARY KEY, body text);
INSERT INTO blobs SELECT 1, string_agg(md5(i::text), '') FROM generate_series(1, 640000) i;`)
	sh := s.Create(client.Definition{Table: "blobs"})
	s.Exec(`INSERT INTO blobs SELECT 2, string_agg(md5(i::text), '') FROM generate_series(1, 100000) i`)
	s.Exec(`UPDATE blobs SET id = 3 WHERE id = 1`)
	s.Verify(sh)
}

// TestFragmentBorders commits transactions whose sizes surround the limit of a
// fragment, on several tables at once.
func TestFragmentBorders(t *testing.T) {
	for _, size := range []int{1, 2, 3, 7} {
		t.Run(fmt.Sprintf("fragments of %d", size), func(t *testing.T) {
			s := stack.New(t, `CREATE TABLE a (id serial PRIMARY KEY, n int); CREATE TABLE b (id serial PRIMARY KEY, n int); CREATE TABLE c (id int)`)
			s.Ingest.FragmentOps = size
			s.StartIngest()
			s.StartConsumer()
			shapes := []*client.Shape{
				s.Create(client.Definition{Table: "a"}), s.Create(client.Definition{Table: "b", Where: "n > 3"}),
				s.Create(client.Definition{Table: "c"}),
			}
			var sql strings.Builder
			for _, n := range []int{size - 1, size, size + 1, 2*size - 1, 2 * size, 2*size + 1, 50} {
				fmt.Fprintf(&sql, "BEGIN; INSERT INTO a (n) SELECT i FROM generate_series(1, %d) i; COMMIT;\n", n)
				fmt.Fprintf(&sql, "BEGIN; INSERT INTO a (n) VALUES (1); INSERT INTO b (n) SELECT i FROM generate_series(1, %d) i; INSERT INTO c VALUES (1); UPDATE a SET n = n + 1; COMMIT;\n", n)
			}
			s.Exec(sql.String())
			s.Verify(shapes...)
		})
	}
}
