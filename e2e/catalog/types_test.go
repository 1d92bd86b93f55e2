package catalog

const (
	mood  = "CREATE TYPE mood AS ENUM ('sad', 'ok', 'glad');"
	moods = mood + "CREATE TABLE t (id int PRIMARY KEY, m mood); INSERT INTO t VALUES (1, 'sad'), (2, 'ok'), (3, 'glad');"
	pair  = "CREATE TYPE pair AS (x int, y int); CREATE TABLE t (id int PRIMARY KEY, p pair); INSERT INTO t VALUES (1, '(1,2)'), (2, '(3,4)');"
)

var typeStories = []story{
	{
		name: "a label is renamed", table: "t", where: "m = 'ok'", ends: "type", setup: moods, refused: "ok",
		sql: []string{"ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'", "UPDATE t SET m = 'glad' WHERE m = 'fine'"},
	},
	{
		name: "a label is renamed on a table without a clause", table: "t", ends: "type", setup: moods,
		sql: []string{"ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'"},
	},
	{
		name: "two labels change names", table: "t", where: "m = 'ok'", ends: "type", setup: moods,
		sql: []string{"BEGIN; ALTER TYPE mood RENAME VALUE 'ok' TO 'x'; ALTER TYPE mood RENAME VALUE 'sad' TO 'ok'; ALTER TYPE mood RENAME VALUE 'x' TO 'sad'; COMMIT"},
	},
	{
		name: "a label is renamed and renamed back", table: "t", ends: either, setup: moods,
		sql: []string{"ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'", "INSERT INTO t VALUES (4, 'fine')", "ALTER TYPE mood RENAME VALUE 'fine' TO 'ok'"},
	},
	{
		name: "a label is renamed in arrays", table: "t", ends: "type",
		setup: mood + "CREATE TABLE t (id int PRIMARY KEY, m mood[]); INSERT INTO t VALUES (1, '{sad,ok}')",
		sql:   []string{"ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'"},
	},
	{
		name: "a label is renamed under a domain", table: "t", ends: "type",
		setup: mood + "CREATE DOMAIN feeling AS mood; CREATE TABLE t (id int PRIMARY KEY, m feeling); INSERT INTO t VALUES (1, 'ok')",
		sql:   []string{"ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'"},
	},
	{
		name: "a label is renamed in a composite type", table: "t", ends: "type",
		setup: mood + "CREATE TYPE felt AS (at int, m mood[]); CREATE TABLE t (id int PRIMARY KEY, f felt); INSERT INTO t VALUES (1, ROW(1, '{ok}'))",
		sql:   []string{"ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'"},
	},
	{
		name: "a label is renamed in a range", table: "t", ends: "type",
		setup: mood + "CREATE TYPE span AS RANGE (subtype = mood); CREATE TABLE t (id int PRIMARY KEY, s span); INSERT INTO t VALUES (1, '[sad,ok]')",
		sql:   []string{"ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'"},
	},
	{
		name: "a label is renamed in a subquery's table", table: "o", where: "p IN (SELECT id FROM {s}.p WHERE m = 'ok')", ends: "type", refused: "ok",
		setup: outer + mood + "CREATE TABLE p (id int PRIMARY KEY, m mood); INSERT INTO p SELECT i, 'ok' FROM generate_series(1, 5) i",
		sql:   []string{"ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'"},
	},
	{
		name: "a label is added", table: "t", where: "m = 'ok'", ends: either, setup: moods,
		sql: []string{"ALTER TYPE mood ADD VALUE 'bored' BEFORE 'ok'", "UPDATE t SET m = 'bored'"},
	},
	{
		name: "labels have an order", table: "t", where: "m BETWEEN 'sad' AND 'ok'", setup: moods,
		sql: []string{"UPDATE t SET m = 'glad' WHERE id = 1", "UPDATE t SET m = 'ok' WHERE id = 3", "INSERT INTO t VALUES (4, 'sad'), (5, 'glad'), (6, NULL)"},
	},
	{
		name: "labels have an order in a subquery", table: "o", where: "p IN (SELECT id FROM {s}.p WHERE m >= 'ok')",
		setup: outer + mood + "CREATE TABLE p (id int PRIMARY KEY, m mood); INSERT INTO p VALUES (1, 'sad'), (2, 'ok'), (3, 'glad')",
		sql:   []string{"UPDATE p SET m = 'glad' WHERE id = 1", "UPDATE p SET m = 'sad' WHERE id = 2", "DELETE FROM p WHERE id = 3"},
	},
	{
		name: "a label is added to an order and used", table: "t", where: "m < 'glad'", ends: either, setup: moods,
		sql: []string{"ALTER TYPE mood ADD VALUE 'bored' BEFORE 'ok'", "UPDATE t SET m = 'bored' WHERE id = 3"},
	},
	{
		name: "a label is added to an order in a subquery and used", table: "o", where: "p IN (SELECT id FROM {s}.p WHERE m > 'sad')", ends: either,
		setup: outer + mood + "CREATE TABLE p (id int PRIMARY KEY, m mood); INSERT INTO p SELECT i, 'sad' FROM generate_series(1, 5) i",
		sql:   []string{"ALTER TYPE mood ADD VALUE 'bored'", "UPDATE p SET m = 'bored' WHERE id = 3"},
	},
	{
		name: "a label is added to an order of the rows that a subquery selects", table: "o", where: "m > 'sad' AND p IN (SELECT id FROM {s}.p WHERE \"on\")", ends: either,
		setup: outer + mood + "ALTER TABLE o ADD m mood DEFAULT 'ok'; CREATE TABLE p (id int PRIMARY KEY, \"on\" bool); INSERT INTO p SELECT i, false FROM generate_series(1, 5) i",
		sql:   []string{"ALTER TYPE mood ADD VALUE 'bored'", "UPDATE o SET m = 'bored' WHERE p = 3", "UPDATE p SET \"on\" = true"},
	},
	{
		name: "an attribute is added to a composite type that must not be NULL", table: "t", where: "p IS NOT NULL", ends: "type", setup: pair,
		sql: []string{"ALTER TYPE pair ADD ATTRIBUTE z int CASCADE", "INSERT INTO t VALUES (3, '(5,6,)')"},
	},
	{
		name: "an attribute is added to a composite type", table: "t", ends: "type", setup: pair,
		sql: []string{"ALTER TYPE pair ADD ATTRIBUTE z int CASCADE"},
	},
	{
		name: "an attribute is dropped from a composite type", table: "t", ends: "type", setup: pair,
		sql: []string{"ALTER TYPE pair DROP ATTRIBUTE y CASCADE"},
	},
	{
		name: "an attribute is dropped and added again", table: "t", ends: "type", setup: pair,
		sql: []string{"ALTER TYPE pair DROP ATTRIBUTE y CASCADE", "ALTER TYPE pair ADD ATTRIBUTE y int CASCADE"},
	},
	{
		name: "the row type of another table gets a column", table: "t", ends: "type",
		setup: "CREATE TABLE other (x int, y int); CREATE TABLE t (id int PRIMARY KEY, r other); INSERT INTO t VALUES (1, '(1,2)')",
		sql:   []string{"ALTER TABLE other ADD z int"},
	},
	{
		name: "a domain gets a constraint", table: "t",
		setup: "CREATE DOMAIN small AS int; CREATE TABLE t (id int PRIMARY KEY, n small); INSERT INTO t VALUES (1, 2)",
		sql:   []string{"ALTER DOMAIN small ADD CONSTRAINT low CHECK (value < 100) NOT VALID", "INSERT INTO t VALUES (2, 3)"},
	},
	{
		name: "a type that no column has changes", table: "t", setup: plain + mood,
		sql: []string{"ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'", "UPDATE t SET n = 3"},
	},
}
