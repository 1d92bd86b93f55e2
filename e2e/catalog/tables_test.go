package catalog

import (
	"slices"
	"testing"

	"github.com/shapebus/shapebus/e2e/stack"
)

// TestCatalogStories pins I9: whatever is changed in the catalog, also if it is changed back before
// anybody looks, a shape equals its SELECT or has ended with a reason; and what is harmless ends nothing.
func TestCatalogStories(t *testing.T) {
	tell(t, stack.Start(t, ""), slices.Concat(keyStories, columnStories, typeStories, partitionStories, truncateStories, inheritanceStories, tableStories))
}

const (
	plain = "CREATE TABLE t (id int PRIMARY KEY, a text, n int); INSERT INTO t SELECT i, 'a' || i, i FROM generate_series(1, 9) i;"
	// fixed has no TOAST table.
	fixed = "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t SELECT i, i FROM generate_series(1, 9) i;"
	// outer has rows that a table p decides on; p comes with the story.
	outer = "CREATE TABLE o (id int PRIMARY KEY, p int, name text); INSERT INTO o SELECT i, i, 'o' || i FROM generate_series(1, 9) i;"
	parts = `CREATE TABLE t (id int PRIMARY KEY, a text, n int) PARTITION BY RANGE (id);
		CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (5); CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (5) TO (100);
		INSERT INTO t SELECT i, 'a' || i, i FROM generate_series(1, 9) i;`
	deep = `CREATE TABLE t (id int, a text) PARTITION BY RANGE (id);
		CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (50) PARTITION BY RANGE (id);
		CREATE TABLE t1a PARTITION OF t1 FOR VALUES FROM (0) TO (5); CREATE TABLE t1b PARTITION OF t1 FOR VALUES FROM (5) TO (50);
		INSERT INTO t SELECT i, 'a' || i FROM generate_series(1, 9) i;`
	innerParts = outer + `CREATE TABLE p (id int PRIMARY KEY, a text) PARTITION BY RANGE (id);
		CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (5); CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (5) TO (100);
		INSERT INTO p SELECT i, 'yes' FROM generate_series(1, 9) i;`
	inP = "p IN (SELECT id FROM {s}.p WHERE a = 'yes')"
)

var keyStories = []story{
	{
		name: "a deferrable key moves up", table: "t",
		setup: "CREATE TABLE t (id int PRIMARY KEY DEFERRABLE, a text); INSERT INTO t SELECT i, 'a' || i FROM generate_series(1, 9) i",
		sql:   []string{"UPDATE t SET id = id + 1", "DELETE FROM t WHERE id = 4", "UPDATE t SET a = 'x' WHERE id = 5"},
	},
	{
		name: "a deferrable key is taken twice within a transaction", table: "t",
		setup: "CREATE TABLE t (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, a text); INSERT INTO t SELECT i, 'a' || i FROM generate_series(1, 9) i",
		sql:   []string{"BEGIN; UPDATE t SET id = 2 WHERE id = 1; UPDATE t SET id = 1 WHERE a = 'a2'; INSERT INTO t VALUES (3, 'b'); DELETE FROM t WHERE a = 'a3'; COMMIT"},
	},
	{
		name: "a subquery on a table with a deferrable key", table: "o", where: "id IN (SELECT id FROM {s}.p WHERE a = 'yes')",
		setup:   "CREATE TABLE o (id int PRIMARY KEY DEFERRABLE); CREATE TABLE p (id int PRIMARY KEY, a text)",
		refused: "DEFERRABLE",
	},
	{
		name: "a deferrable key moves up in a subquery", table: "o", where: inP,
		setup: outer + "CREATE TABLE p (id int PRIMARY KEY DEFERRABLE, a text); INSERT INTO p SELECT i, 'yes' FROM generate_series(1, 5) i",
		sql:   []string{"UPDATE p SET id = id + 1", "DELETE FROM p WHERE id = 4", "UPDATE p SET id = id + 1", "UPDATE p SET a = 'no' WHERE id = 3"},
	},
	{
		name: "a key becomes deferrable", table: "t", ends: "primary key", setup: plain,
		sql: []string{"ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id) DEFERRABLE", "UPDATE t SET id = id + 1"},
	},
	{
		name: "a key is dropped and made again around duplicates", table: "t", ends: "primary key", setup: plain,
		sql: []string{"BEGIN; ALTER TABLE t DROP CONSTRAINT t_pkey; INSERT INTO t VALUES (1, 'twice', 1); DELETE FROM t WHERE a = 'a1'; ALTER TABLE t ADD PRIMARY KEY (id); COMMIT"},
	},
	{
		name: "the index of the key is built again", table: "t", setup: plain,
		sql: []string{"REINDEX INDEX CONCURRENTLY t_pkey", "REINDEX TABLE t", "UPDATE t SET id = id + 100"},
	},
	{
		name: "a generated column is in the key", table: "t",
		setup: "CREATE TABLE t (a int, g int GENERATED ALWAYS AS (a % 10) STORED, v text, PRIMARY KEY (a, g)); INSERT INTO t (a, v) SELECT i, 'v' || i FROM generate_series(1, 9) i",
		sql:   []string{"UPDATE t SET a = a + 100 WHERE a = 3", "UPDATE t SET v = 'x' WHERE a = 4", "DELETE FROM t WHERE a = 5"},
	},
	{
		name: "the key is a generated column", table: "t",
		setup: "CREATE TABLE t (a int, g int GENERATED ALWAYS AS (a + 1) STORED PRIMARY KEY, v text); INSERT INTO t (a, v) SELECT i, 'v' || i FROM generate_series(1, 9) i",
		sql:   []string{"UPDATE t SET a = a + 100 WHERE a = 3", "UPDATE t SET v = 'x' WHERE a = 4", "DELETE FROM t WHERE a = 5"},
	},
	{
		name: "a generated column is in the key of a subquery's table", table: "o", where: inP,
		setup: outer + "CREATE TABLE p (id int, g int GENERATED ALWAYS AS (id % 3) STORED, a text, PRIMARY KEY (g, id)); INSERT INTO p (id, a) SELECT i, 'yes' FROM generate_series(1, 5) i",
		sql:   []string{"UPDATE p SET id = id + 10 WHERE id < 3", "DELETE FROM p WHERE id = 4"},
	},
}

var columnStories = []story{
	{
		name: "a column is written again with the same type", table: "t", where: "a < 'b'", ends: "rewritten", setup: plain,
		sql: []string{"ALTER TABLE t ALTER a TYPE text USING upper(a)"},
	},
	{
		name: "a column is written again and then its rows change", table: "t", ends: "rewritten", setup: plain,
		sql: []string{"ALTER TABLE t ALTER a TYPE text USING upper(a)", "UPDATE t SET n = 7 WHERE id = 1"},
	},
	{
		name: "a column of a table without TOAST is written again", table: "t", where: "n < 5", ends: "column n", setup: fixed,
		sql: []string{"ALTER TABLE t ALTER n TYPE int USING n + 3"},
	},
	{
		name: "a column becomes another type and what it was", table: "t", ends: "rewritten", setup: plain,
		sql: []string{"BEGIN; ALTER TABLE t ALTER n TYPE text USING n || '1'; ALTER TABLE t ALTER n TYPE int USING n::int; COMMIT"},
	},
	{
		name: "a column of a subquery's table is written again", table: "o", where: inP, ends: "rewritten",
		setup: outer + "CREATE TABLE p (id int PRIMARY KEY, a text); INSERT INTO p SELECT i, 'yes' FROM generate_series(1, 5) i",
		sql:   []string{"ALTER TABLE p ALTER a TYPE text USING 'no'"},
	},
	{
		name: "a column of a partitioned table is written again", table: "t", ends: "rewritten", setup: parts,
		sql: []string{"ALTER TABLE t ALTER a TYPE text USING upper(a)"},
	},
	{
		name: "a column of a subquery's partitioned table is written again", table: "o", where: inP, ends: "rewritten", setup: innerParts,
		sql: []string{"ALTER TABLE p ALTER a TYPE text USING 'no'", "UPDATE o SET name = 'x'"},
	},
	{
		name: "two columns change names", table: "t", where: "a < 'b'", ends: "column",
		setup: "CREATE TABLE t (id int PRIMARY KEY, a text, b text); INSERT INTO t SELECT i, 'a' || i, 'b' || i FROM generate_series(1, 9) i",
		sql:   []string{"BEGIN; ALTER TABLE t RENAME a TO x; ALTER TABLE t RENAME b TO a; ALTER TABLE t RENAME x TO b; COMMIT"},
	},
	{
		name: "a column is dropped and added again", table: "t", ends: "column n", setup: plain,
		sql: []string{"ALTER TABLE t DROP n, ADD n int DEFAULT 5"},
	},
	{
		name: "a column is renamed and renamed back", table: "t", ends: either, setup: plain,
		sql: []string{"ALTER TABLE t RENAME n TO m", "INSERT INTO t VALUES (100, 'x', 1)", "ALTER TABLE t RENAME m TO n", "INSERT INTO t VALUES (101, 'x', 1)"},
	},
	{
		name: "a column gets another collation", table: "t", ends: "column a", setup: plain,
		sql: []string{`ALTER TABLE t ALTER a TYPE text COLLATE "POSIX"`},
	},
	{
		name: "a column is added and dropped", table: "t", ends: either, setup: plain,
		sql: []string{"BEGIN; ALTER TABLE t ADD x int DEFAULT 3; UPDATE t SET n = x; ALTER TABLE t DROP x; COMMIT", "UPDATE t SET a = 'x'"},
	},
	{
		name: "what columns need not to be and how they are kept changes", table: "t", setup: plain,
		sql: []string{
			"ALTER TABLE t ALTER n SET DEFAULT 5, ALTER n SET NOT NULL, ALTER a SET STORAGE EXTERNAL, ALTER a SET STATISTICS 10",
			"GRANT SELECT (n) ON t TO PUBLIC", "COMMENT ON COLUMN t.n IS 'n'", "INSERT INTO t VALUES (100, repeat('x', 5000))",
		},
	},
}

var inheritanceStories = []story{
	{
		name: "a table has children", table: "t", refused: "inherit",
		setup: plain + "CREATE TABLE c () INHERITS (t); INSERT INTO c VALUES (100, 'c', 1)",
	},
	{
		name: "a subquery's table has children", table: "o", where: inP, refused: "inherit",
		setup: outer + "CREATE TABLE p (id int PRIMARY KEY, a text); CREATE TABLE c () INHERITS (p)",
	},
	{
		name: "a table gets a child", table: "t", ends: "inherit", refused: "inherit", setup: plain,
		sql: []string{"CREATE TABLE c () INHERITS (t)", "INSERT INTO c VALUES (100, 'c', 1)"},
	},
	{
		name: "a subquery's table becomes a parent", table: "o", where: inP, ends: "inherit", refused: "inherit",
		setup: outer + "CREATE TABLE p (id int PRIMARY KEY, a text); CREATE TABLE c (LIKE p); INSERT INTO c VALUES (5, 'yes')",
		sql:   []string{"ALTER TABLE c INHERIT p"},
	},
	{
		name: "a table gets a child that goes", table: "t", ends: either, setup: plain,
		sql: []string{"BEGIN; CREATE TABLE c () INHERITS (t); INSERT INTO c VALUES (100, 'c', 1); DROP TABLE c; COMMIT", "UPDATE t SET n = 5"},
	},
	{
		name: "a table is a child", table: "c",
		setup: plain + "CREATE TABLE c (x int, PRIMARY KEY (id)) INHERITS (t); INSERT INTO c VALUES (100, 'c', 1)",
		sql:   []string{"INSERT INTO c VALUES (101, 'c', 1)", "UPDATE t SET n = 0", "DELETE FROM t WHERE id = 100"},
	},
}
