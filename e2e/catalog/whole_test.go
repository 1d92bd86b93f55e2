package catalog

var tableStories = []story{
	{
		name: "two tables change names", table: "t", ends: "renamed", setup: plain + "CREATE TABLE u (LIKE t INCLUDING ALL); INSERT INTO u VALUES (1, 'u', 1);",
		sql: []string{"BEGIN; ALTER TABLE t RENAME TO x; ALTER TABLE u RENAME TO t; ALTER TABLE x RENAME TO u; COMMIT"},
	},
	{
		name: "a table is replaced", table: "t", ends: "dropped", setup: plain,
		sql: []string{"BEGIN; DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, a text, n int); INSERT INTO t VALUES (1, 'x', 1); COMMIT"},
	},
	{
		name: "a table is renamed and renamed back", table: "t", ends: either, setup: plain,
		sql: []string{"ALTER TABLE t RENAME TO x", "INSERT INTO x VALUES (100, 'x', 1)", "ALTER TABLE x RENAME TO t"},
	},
	{
		name: "a table tells less and then all again", table: "t", ends: "replica identity", setup: plain,
		sql: []string{"BEGIN; ALTER TABLE t REPLICA IDENTITY DEFAULT; UPDATE t SET n = n + 1; ALTER TABLE t REPLICA IDENTITY FULL; COMMIT", "UPDATE t SET n = n + 1"},
	},
	{
		name: "a table leaves the publication and comes back", table: "t", ends: "publication", setup: plain,
		sql: []string{"BEGIN; ALTER PUBLICATION {pub} DROP TABLE t; INSERT INTO t VALUES (100, 'x', 1); ALTER PUBLICATION {pub} ADD TABLE t; COMMIT"},
	},
	{
		name: "a subquery's table leaves the publication and comes back", table: "o", where: inP, ends: "publication",
		setup: outer + "CREATE TABLE p (id int PRIMARY KEY, a text); INSERT INTO p SELECT i, 'yes' FROM generate_series(1, 5) i",
		sql:   []string{"BEGIN; ALTER PUBLICATION {pub} DROP TABLE p; UPDATE p SET a = 'no'; ALTER PUBLICATION {pub} ADD TABLE p; COMMIT"},
	},
	{
		name: "a table that is published with its schema leaves it and comes back", since: 15, table: "t", ends: "publication",
		setup: plain + "ALTER PUBLICATION {pub} ADD TABLES IN SCHEMA {s}; CREATE SCHEMA {s}_away; ALTER TABLE t REPLICA IDENTITY FULL",
		sql:   []string{"BEGIN; ALTER TABLE t SET SCHEMA {s}_away; UPDATE {s}_away.t SET a = 'x'; ALTER TABLE {s}_away.t SET SCHEMA {s}; COMMIT"},
	},
	{
		name: "a table is packed", table: "t", setup: plain,
		sql: []string{"VACUUM FULL t", "CLUSTER t USING t_pkey", "UPDATE t SET n = 3"},
	},
	{
		name: "a table is emptied and filled", table: "t", setup: plain,
		sql: []string{"TRUNCATE t; INSERT INTO t VALUES (1, 'x', 1)", "BEGIN; SAVEPOINT s; TRUNCATE t; RELEASE s; INSERT INTO t VALUES (2, 'x', 1); COMMIT"},
	},
	{
		name: "what is harmless happens to a table", table: "t", setup: plain,
		sql: []string{
			"VACUUM FREEZE t", "ANALYZE t", "CREATE INDEX ON t (n)", "ALTER TABLE t SET (fillfactor = 50)", "GRANT SELECT ON t TO PUBLIC", "COMMENT ON TABLE t IS 't'",
			"ALTER TABLE t ADD CONSTRAINT c CHECK (n < 100)", "CREATE TABLE r (id int REFERENCES t)", "ALTER TABLE t ADD CONSTRAINT u UNIQUE (id, n)", "UPDATE t SET n = 3",
		},
	},
	{
		name: "the catalog is vacuumed", table: "t", setup: plain + mood,
		sql: []string{"VACUUM FREEZE pg_attribute", "VACUUM FULL pg_inherits", "VACUUM FULL pg_enum", "UPDATE t SET n = 3"},
	},
}
