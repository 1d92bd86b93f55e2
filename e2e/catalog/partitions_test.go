package catalog

const detach = "ALTER TABLE t DETACH PARTITION t1;"

var partitionStories = []story{
	{
		name: "a partition is detached, written and attached again", table: "t", ends: "t1", setup: parts,
		sql: []string{"BEGIN; " + detach + "UPDATE t1 SET a = 'x'; DELETE FROM t1 WHERE id = 1; ALTER TABLE t ATTACH PARTITION t1 FOR VALUES FROM (0) TO (5); COMMIT"},
	},
	{
		name: "a partition is detached, written and attached again in a subquery", table: "o", where: inP, ends: "p1", setup: innerParts,
		sql: []string{"ALTER TABLE p DETACH PARTITION p1", "UPDATE p1 SET a = 'no'", "ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (0) TO (5)"},
	},
	{
		name: "a partition between is detached, written and attached again", table: "t", ends: "t1", setup: deep,
		sql: []string{detach + "DELETE FROM t1 WHERE id < 3; ALTER TABLE t ATTACH PARTITION t1 FOR VALUES FROM (0) TO (50)"},
	},
	{
		name: "a partition is detached, emptied and attached again", table: "t", ends: "t1", setup: parts,
		sql: []string{"BEGIN; " + detach + "TRUNCATE t1; ALTER TABLE t ATTACH PARTITION t1 FOR VALUES FROM (0) TO (5); COMMIT", "INSERT INTO t VALUES (3, 'x', 3)"},
	},
	{
		name: "a partition is dropped and made again", table: "t", ends: "partition", setup: parts,
		sql: []string{"BEGIN; DROP TABLE t1; CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (5); COMMIT"},
	},
	{
		name: "two partitions change places", table: "t", ends: "partition", setup: parts,
		sql: []string{
			"CREATE TABLE other (LIKE t1 INCLUDING ALL); INSERT INTO other VALUES (1, 'other', 1)",
			"BEGIN; " + detach + "ALTER TABLE t ATTACH PARTITION other FOR VALUES FROM (0) TO (5); COMMIT",
		},
	},
	{
		name: "a partition with rows is attached", table: "t", ends: "was attached", setup: parts,
		sql: []string{
			"CREATE TABLE t3 (LIKE t1 INCLUDING ALL); ALTER TABLE t3 REPLICA IDENTITY FULL; INSERT INTO t3 VALUES (100, 'x', 1)",
			"ALTER TABLE t ATTACH PARTITION t3 FOR VALUES FROM (100) TO (200)", "UPDATE t SET a = 'y'",
		},
	},
	{
		name: "a partition with rows is attached in a subquery", table: "o", where: inP, ends: "was attached", setup: innerParts,
		sql: []string{
			"DELETE FROM p WHERE id = 7; DELETE FROM o WHERE id > 5; INSERT INTO o VALUES (100, 100, 'x')", "CREATE TABLE p3 (LIKE p1 INCLUDING ALL); ALTER TABLE p3 REPLICA IDENTITY FULL; INSERT INTO p3 VALUES (100, 'yes')",
			"ALTER TABLE p ATTACH PARTITION p3 FOR VALUES FROM (100) TO (200)", "UPDATE o SET name = 'y'",
		},
	},
	{
		name: "a partition is written to by its own name", table: "t", setup: parts,
		sql: []string{"INSERT INTO t1 VALUES (0, 'x', 1)", "UPDATE t1 SET a = 'y'", "UPDATE t SET id = id + 10 WHERE id = 2", "DELETE FROM t2 WHERE id = 6"},
	},
	{
		name: "what is harmless happens to partitions", table: "t", setup: parts,
		sql: []string{"VACUUM FREEZE t1", "ANALYZE t", "CREATE INDEX ON t (n)", "GRANT SELECT ON t1 TO PUBLIC", "ALTER TABLE t ALTER n SET DEFAULT 4", "UPDATE t SET n = 4"},
	},
	{
		name: "a partition is packed", table: "t", ends: either, setup: parts,
		sql: []string{"VACUUM FULL t1", "UPDATE t SET n = 4"},
	},
}
