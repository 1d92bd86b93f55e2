package pg_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/dbtest"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

func drawTable(t *rapid.T) *pg.TableInfo {
	identity := func(name string) change.Identity {
		return rapid.SampledFrom([]change.Identity{change.IdentityDefault, change.IdentityFull}).Draw(t, name)
	}
	text := func(name string) string { return rapid.SampledFrom([]string{"", "x"}).Draw(t, name) }
	table := &pg.TableInfo{
		Relation: change.Relation{
			OID: rapid.Uint32Range(1, 2).Draw(t, "oid"), Schema: "public", Name: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name"),
			Identity: identity("identity"),
		},
		Kind: pg.KindPartitioned, Persistence: rapid.SampledFrom([]byte("pu")).Draw(t, "Persistence"),
		PartitionOf: rapid.SampledFrom([]string{"", "root"}).Draw(t, "partition of"),
		Form:        rapid.IntRange(1, 2).Draw(t, "form"), Parent: rapid.Bool().Draw(t, "parent"), KeyID: rapid.Uint32Range(1, 2).Draw(t, "key"),
		KeyFlaw: text("flaw"), Storage: rapid.Uint32Range(0, 1).Draw(t, "storage"),
	}
	for _, name := range []string{"x", "y"} {
		if rapid.Bool().Draw(t, name) {
			table.Relation.Columns = append(table.Relation.Columns, change.Column{Name: name, Type: rapid.Uint32Range(23, 24).Draw(t, "type"), TypeMod: -1})
			table.PrimaryKey = append(table.PrimaryKey, name)
			table.Columns = append(table.Columns, pg.ColumnInfo{
				Name: name, Number: rapid.Int16Range(1, 2).Draw(t, "number"), Collation: rapid.Uint32Range(0, 1).Draw(t, "collation"),
				Deterministic: rapid.Bool().Draw(t, "deterministic"), TypeMake: text("make"), Expression: text("expression"), Written: text("written"),
			})
		}
	}
	for oid := uint32(10); oid < 12; oid++ {
		if rapid.Bool().Draw(t, "leaf") {
			table.Partitions = append(table.Partitions, pg.PartitionInfo{
				OID: oid, Schema: "public", Name: rapid.SampledFrom([]string{"p", "q"}).Draw(t, "leaf name"), Identity: identity("leaf identity"),
				LeafKind: 'r', Persistence: 'p', Link: text("link"), Storage: text("leaf storage"),
				File: rapid.Uint32Range(1, 2).Draw(t, "file"), // is not part of it
			})
		}
	}
	for _, name := range []string{"p1", "p2"} {
		for _, via := range []string{"all", "table"} {
			if rapid.IntRange(0, 2).Draw(t, "member") == 0 {
				table.Memberships = append(table.Memberships, pg.Membership{
					Publication: name, Via: via, ID: rapid.Uint32Range(1, 2).Draw(t, "id"), XID: rapid.SampledFrom([]string{"1", "2"}).Draw(t, "xid"),
					Filter: rapid.SampledFrom([]string{"", "(x > 1)"}).Draw(t, "filter"), Set: text("set"), Named: text("named"),
				})
				if n := len(table.PublishedIn); n == 0 || table.PublishedIn[n-1] != name {
					table.PublishedIn = append(table.PublishedIn, name)
				}
			}
		}
	}
	return table
}

func TestStructureIsEqualExactlyWhenDiffFindsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := drawTable(t)
		b := a
		if rapid.Bool().Draw(t, "another") {
			b = drawTable(t)
		}
		same, diff := a.Structure() == b.Structure(), a.Diff(b)
		if same != (diff == "") {
			t.Fatalf("structures equal: %t, diff %q", same, diff)
		}
	})
}

func TestDiffSaysWhatHappened(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	dbtest.Script(t, conn, `
		CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
		CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
		CREATE TABLE other (id int, v text, n int);
		CREATE TABLE bystander (id int PRIMARY KEY);
		CREATE TABLE narrow (n int);
		CREATE TYPE mood AS ENUM ('ok', 'sad');
		CREATE DOMAIN feeling AS mood;
		CREATE TYPE felt AS (x int, m feeling);
		CREATE TABLE feelings (id int, f felt[]);
		CREATE PUBLICATION p WITH (publish_via_partition_root = true);
		CREATE PUBLICATION unrelated;
		ALTER PUBLICATION p ADD TABLE parts, other`)
	steps := []struct{ table, sql, want string }{
		{"parts", "CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10) TO (20)", "partition public.parts_2 was attached to public.parts"},
		{"parts", "ALTER TABLE parts_2 REPLICA IDENTITY FULL", "replica identity of public.parts_2, a partition of public.parts, changed from DEFAULT to FULL"},
		{"parts", "ALTER TABLE parts DETACH PARTITION parts_2", "partition public.parts_2 was detached from public.parts or dropped"},
		{"parts", "ALTER TABLE parts REPLICA IDENTITY FULL", "replica identity of public.parts changed from DEFAULT to FULL"},
		{"parts", "ALTER TABLE parts DROP CONSTRAINT parts_pkey", "primary key of public.parts changed from (id) to none"},
		{"parts", "ALTER TABLE parts ADD PRIMARY KEY (id)", "primary key of public.parts changed from none to (id)"},
		{"parts", "ALTER TABLE parts DROP CONSTRAINT parts_pkey; ALTER TABLE parts ADD PRIMARY KEY (id)", "primary key of public.parts was dropped and made again"},
		{"parts", "ALTER TABLE parts DROP CONSTRAINT parts_pkey; ALTER TABLE parts ADD PRIMARY KEY (id) DEFERRABLE", "primary key of public.parts changed from (id) to one that is DEFERRABLE, so that two rows can have it at once"},
		{"parts", "ALTER TABLE parts ALTER v TYPE text USING upper(v)", "the rows of public.parts_1, a partition of public.parts, were rewritten by ALTER TABLE"},
		{"parts", "ALTER TABLE parts DETACH PARTITION parts_1; ALTER TABLE parts ATTACH PARTITION parts_1 FOR VALUES FROM (0) TO (10)", "partition public.parts_1 of public.parts was detached and attached again"},
		{"parts", "TRUNCATE parts_1", ""},
		{"parts", "ALTER TABLE parts ALTER v SET DEFAULT 'x'", ""},
		{"other", "ALTER TABLE other ALTER v TYPE text USING upper(v)", "the rows of public.other were rewritten by ALTER TABLE"},
		{"other", "ALTER TABLE other ALTER v SET DEFAULT 'x', ALTER v SET NOT NULL, ALTER v SET STATISTICS 5", ""},
		{"other", "VACUUM FULL other", ""},
		{"narrow", "ALTER TABLE narrow ALTER n TYPE int USING n + 1", "column n of public.narrow was altered, which may have rewritten its rows"},
		{"narrow", "CREATE TABLE heir () INHERITS (narrow)", "another table inherits from public.narrow now"},
		{"feelings", "ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'; ALTER TYPE mood RENAME VALUE 'fine' TO 'ok'", "type felt[] of column f of public.feelings was altered"},
		{"feelings", "ALTER TYPE felt DROP ATTRIBUTE x", "type felt[] of column f of public.feelings was altered"},
		{"other", "ALTER PUBLICATION p SET (publish = 'insert'); ALTER PUBLICATION p SET (publish = 'insert, update, delete, truncate')", "publication p was altered"},
		{"other", "ALTER TABLE other ADD COLUMN g int GENERATED ALWAYS AS (id * 2) STORED", "the rows of public.other were rewritten by ALTER TABLE"},
		{"other", "ALTER PUBLICATION unrelated ADD TABLE other", ""},
		{"other", "ALTER TABLE bystander ADD COLUMN x int", ""},
		{"other", "ALTER TABLE other ADD COLUMN w int", "column w was added to public.other"},
		{"other", "ALTER TABLE other ALTER COLUMN w TYPE bigint", "column w of public.other changed its type"},
		{"other", "ALTER TABLE other RENAME COLUMN w TO z", "column w of public.other was dropped or renamed"},
		{"other", "ALTER PUBLICATION p SET (publish = 'insert')", "publication p carries table public.other differently than before"},
		{"other", "ALTER PUBLICATION p DROP TABLE other", "table public.other left the publication p"},
		{"other", "ALTER PUBLICATION p ADD TABLE other", "table public.other entered the publication p"},
		{"other", "ALTER PUBLICATION p DROP TABLE other; ALTER PUBLICATION p ADD TABLE other", "publication p carries table public.other differently than before"},
		{"other", "ALTER TABLE other RENAME TO renamed", "table public.other was renamed to public.renamed"},
	}
	for _, s := range steps {
		before := dbtest.Lookup(t, conn, "public", s.table, "p")
		dbtest.Script(t, conn, s.sql)
		after, err := pg.LookupTables(t.Context(), conn, []uint32{before.Relation.OID}, "p")
		if err != nil {
			t.Fatal(err)
		}
		now := after[before.Relation.OID]
		if got := before.Diff(now); got != s.want {
			t.Errorf("after %s: %q, want %q", s.sql, got, s.want)
		}
		if same := before.Structure() == now.Structure(); same != (s.want == "") {
			t.Errorf("after %s: structure is the same: %t", s.sql, same)
		}
	}
	before := dbtest.Lookup(t, conn, "public", "renamed")
	dbtest.Script(t, conn, "ALTER PUBLICATION p DROP TABLE renamed; ALTER PUBLICATION unrelated DROP TABLE renamed; ALTER TABLE renamed SET UNLOGGED")
	after, err := pg.LookupTables(t.Context(), conn, []uint32{before.Relation.OID})
	if err != nil {
		t.Fatal(err)
	}
	if got := before.Diff(after[before.Relation.OID]); !strings.Contains(got, "became unlogged") {
		t.Errorf("got %q", got)
	}
	dbtest.Script(t, conn, "DROP TABLE renamed")
	after, err = pg.LookupTables(t.Context(), conn, []uint32{before.Relation.OID})
	if err != nil || len(after) != 0 {
		t.Errorf("a dropped table is still there: %v, %v", after, err)
	}
	if got := before.Diff(nil); got != "table public.renamed was dropped" {
		t.Errorf("got %q", got)
	}
}
