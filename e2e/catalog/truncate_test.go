package catalog

// truncateStories empty partitions, of which Postgres tells nobody, and their tables, of which it does.
var truncateStories = []story{
	{
		name: "a partition is emptied", table: "t", ends: "t1", setup: parts,
		sql: []string{"TRUNCATE t1"},
	},
	{
		name: "a partition is emptied and filled", table: "t", ends: "t1", setup: parts,
		sql: []string{"TRUNCATE t1", "INSERT INTO t VALUES (1, 'again', 1), (70, 'x', 1)"},
	},
	{
		name: "a partition is emptied in a subquery", table: "o", where: inP, ends: "p1", setup: innerParts,
		sql: []string{"TRUNCATE p1"},
	},
	{
		name: "a partition below a partition is emptied", table: "t", ends: "t1b", setup: deep,
		sql: []string{"TRUNCATE t1b"},
	},
	{
		name: "a partition with partitions is emptied", table: "t", ends: "t1", setup: deep,
		sql: []string{"TRUNCATE t1"},
	},
	{
		name: "all partitions are emptied one by one", table: "t", ends: "partition", setup: parts,
		sql: []string{"TRUNCATE t1, t2"},
	},
	{
		name: "a partitioned table is emptied", table: "t", setup: parts,
		sql: []string{"INSERT INTO t VALUES (50, 'x', 1)", "TRUNCATE t", "INSERT INTO t VALUES (50, 'y', 1)"},
	},
	{
		name: "a partitioned table is emptied twice in a transaction", table: "t", setup: deep,
		sql: []string{"BEGIN; TRUNCATE t; INSERT INTO t VALUES (1, 'y'); TRUNCATE t; INSERT INTO t VALUES (2, 'y'); COMMIT", "TRUNCATE t", "INSERT INTO t VALUES (3, 'y')"},
	},
	{
		name: "a partitioned table is emptied in a subquery", table: "o", where: inP, setup: innerParts,
		sql: []string{"TRUNCATE p", "INSERT INTO p VALUES (3, 'yes')", "TRUNCATE p", "INSERT INTO p VALUES (4, 'yes'), (8, 'yes')"},
	},
	{
		name: "a partitioned table is emptied and then a partition", table: "t", ends: "t1", setup: parts,
		sql: []string{"TRUNCATE t; INSERT INTO t VALUES (1, 'y', 1)", "TRUNCATE t1"},
	},
	{
		name: "a partition is emptied and then the table", table: "t", ends: either, setup: parts,
		sql: []string{"TRUNCATE t1", "TRUNCATE t", "INSERT INTO t VALUES (1, 'y', 1)"},
	},
}
