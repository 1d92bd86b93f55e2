package pg_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/dbtest"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

func TestLookupTableDescribesTheTable(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	dbtest.Script(t, conn, `
		CREATE COLLATION nd (provider = icu, locale = 'und', deterministic = false);
		CREATE TYPE mood AS ENUM ('ok', 'it''s "fine"'); ALTER TYPE mood ADD VALUE 'sad' BEFORE 'ok';
		CREATE TABLE items (
			gone int, b text NOT NULL, a int, code varchar(20) COLLATE nd, price numeric(10,2), feeling mood,
			twice int GENERATED ALWAYS AS (a * 2) STORED, PRIMARY KEY (b, a));
		ALTER TABLE items DROP COLUMN gone;
		ALTER TABLE items ENABLE ROW LEVEL SECURITY;
		CREATE PUBLICATION p FOR TABLE items;
		CREATE PUBLICATION q FOR ALL TABLES;
		CREATE PUBLICATION r`)
	info := dbtest.Lookup(t, conn, "public", "items")
	want := &pg.TableInfo{
		Relation: change.Relation{
			OID: info.Relation.OID, Schema: "public", Name: "items", Identity: change.IdentityDefault,
			Columns: []change.Column{{Name: "b", Type: 25, TypeMod: -1}, {Name: "a", Type: 23, TypeMod: -1}, {Name: "code", Type: 1043, TypeMod: 24}, {Name: "price", Type: 1700, TypeMod: 655366}, {Name: "feeling", Type: info.Columns[4].Type, TypeMod: -1}},
		},
		Columns: []pg.ColumnInfo{
			{Name: "b", Type: 25, TypeMod: -1, TypeName: "text", Deterministic: true},
			{Name: "a", Type: 23, TypeMod: -1, TypeName: "integer", Deterministic: true},
			{Name: "code", Type: 1043, TypeMod: 24, TypeName: "character varying(20)"},
			{Name: "price", Type: 1700, TypeMod: 655366, TypeName: "numeric(10,2)", Deterministic: true},
			{Name: "feeling", Type: info.Columns[4].Type, TypeMod: -1, TypeName: "mood", Deterministic: true, Enum: []string{"sad", "ok", "it's \"fine\""}},
			{Name: "twice", Type: 23, TypeMod: -1, TypeName: "integer", Generated: true, Deterministic: true},
		},
		PrimaryKey: []string{"b", "a"}, Kind: pg.KindTable, Owner: "postgres", RowSecurity: true, PublishedIn: []string{"p", "q"},
		Persistence: 'p', Memberships: info.Memberships,
		Form: pg.CatalogForm, KeyID: info.KeyID, Storage: info.Storage,
	}
	for i := range want.Columns {
		c, is := &want.Columns[i], info.Columns[i]
		c.Number, c.Collation = int16(i+2), is.Collation
		if c.Name == "feeling" {
			c.TypeMake = is.TypeMake
		}
		if c.Generated {
			c.Expression = is.Expression
		}
	}
	for what, value := range map[string]bool{
		"the key's oid": info.KeyID != 0, "the TOAST table": info.Storage != 0, "the collation": info.Columns[2].Collation != info.Columns[0].Collation,
		"how the type is made": info.Columns[4].TypeMake != "", "how the column is generated": info.Columns[5].Expression != "",
	} {
		if !value {
			t.Errorf("%s is not told", what)
		}
	}
	if d := cmp.Diff(want, info, cmp.AllowUnexported(pg.TableInfo{}, pg.Membership{}, pg.PartitionInfo{})); d != "" {
		t.Error(d)
	}
	if got := dbtest.Lookup(t, conn, "public", "items", "q", "r").PublishedIn; !slices.Equal(got, []string{"q"}) {
		t.Errorf("published in %v of q and r", got)
	}
}

func TestLookupTableFindsTheLeavesOfPartitions(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	dbtest.Script(t, conn, `
		CREATE TABLE e (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
		CREATE TABLE e24 PARTITION OF e FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY LIST (id);
		CREATE TABLE e24_1 PARTITION OF e24 FOR VALUES IN (1);
		CREATE TABLE e24_x PARTITION OF e24 DEFAULT;
		CREATE TABLE e25 PARTITION OF e FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
		ALTER TABLE e25 REPLICA IDENTITY FULL`)
	info := dbtest.Lookup(t, conn, "public", "e")
	var leaves []string
	for _, p := range info.Partitions {
		leaves = append(leaves, p.Name+" "+p.Identity.String())
	}
	if want := []string{"e24_1 DEFAULT", "e24_x DEFAULT", "e25 FULL"}; info.Kind != pg.KindPartitioned || !slices.Equal(leaves, want) {
		t.Errorf("kind %c, leaves %v, want %v", info.Kind, leaves, want)
	}
}

func TestLookupTableRefusesWhatCannotBeStreamed(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	dbtest.Script(t, conn, `
		CREATE TABLE t (id int); CREATE VIEW v AS SELECT * FROM t; CREATE MATERIALIZED VIEW m AS SELECT * FROM t;
		CREATE INDEX i ON t (id); CREATE SEQUENCE s; CREATE TYPE c AS (x int); CREATE UNLOGGED TABLE u (id int);
		CREATE FOREIGN DATA WRAPPER w; CREATE SERVER srv FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE f (id int) SERVER srv;
		CREATE TABLE r (id int) PARTITION BY LIST (id); CREATE TABLE r1 PARTITION OF r FOR VALUES IN (1);
		CREATE TABLE parent (id int); CREATE TABLE child () INHERITS (parent);
		CREATE TABLE ru (id int) PARTITION BY LIST (id); CREATE UNLOGGED TABLE ru1 PARTITION OF ru FOR VALUES IN (1);
		CREATE TABLE rf (id int) PARTITION BY LIST (id); CREATE FOREIGN TABLE rf1 PARTITION OF rf FOR VALUES IN (1) SERVER srv;
		CREATE TABLE bare (); CREATE TABLE derived (one int GENERATED ALWAYS AS (1) STORED)`)
	for name, want := range map[string]string{
		"v": "public.v is a view", "m": "materialized view", "i": "is an index", "s": "is a sequence", "c": "composite type",
		"u": `run ALTER TABLE "public"."u" SET LOGGED`, "f": "foreign table", "r1": "is a partition of r;", "parent": "has tables that inherit", "ru": "unlogged partition public.ru1", "rf": "foreign table public.rf1",
		"bare": "has no column that is replicated", "derived": "has no column that is replicated",
	} {
		_, err := pg.LookupTable(t.Context(), conn, "public", name)
		if _, ok := errors.AsType[*pg.UnsupportedError](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", name, err, want)
		}
	}
	if _, err := pg.LookupTable(t.Context(), conn, "pg_catalog", "pg_class"); err == nil || !strings.Contains(err.Error(), "system tables") {
		t.Errorf("pg_class: %v", err)
	}
}

func TestLookupTableSuggestsCloseNames(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	dbtest.Script(t, conn, `CREATE SCHEMA app; CREATE TABLE items (); CREATE TABLE "Items" (); CREATE TABLE app.items (); CREATE TABLE app.orders ()`)
	for name, want := range map[string][]string{
		"itmes": {"public.items", `"public"."Items"`, "app.items"},
		"ITEMS": {`"public"."Items"`, "public.items", "app.items"},
		"order": {"app.orders"},
		"zzz":   nil,
	} {
		_, err := pg.LookupTable(t.Context(), conn, "public", name)
		missing, ok := errors.AsType[*pg.NotFoundError](err)
		if !ok {
			t.Fatalf("%s: %v", name, err)
		}
		slices.Sort(want)
		slices.Sort(missing.Similar)
		if !slices.Equal(missing.Similar, want) {
			t.Errorf("%s: %q, want %q", name, missing.Similar, want)
		}
	}
}

// A domain is known by what it restricts in the end, and a composite type as one, however many domains are over it.
func TestLookupTableKnowsWhatDomainsRestrict(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	dbtest.Script(t, conn, `
		CREATE DOMAIN whole AS int CHECK (VALUE > 0); CREATE DOMAIN few AS whole CHECK (VALUE < 10); CREATE DOMAIN tags AS text[];
		CREATE TYPE mood AS ENUM ('ok'); CREATE DOMAIN calm AS mood;
		CREATE TYPE point2 AS (x int, y int); CREATE DOMAIN place AS point2;
		CREATE TABLE items (a whole, b few, c tags, d calm, e point2, f place, g int4range, h int PRIMARY KEY)`)
	const int4, textArray = 23, 1009
	info := dbtest.Lookup(t, conn, "public", "items")
	for i, want := range []struct {
		base      uint32
		composite bool
	}{{int4, false}, {int4, false}, {textArray, false}, {info.Columns[3].Base, false}, {0, true}, {info.Columns[4].Type, true}, {0, false}, {0, false}} {
		if c := info.Columns[i]; c.Base != want.base || c.Composite != want.composite {
			t.Errorf("column %s restricts %d, composite %t; want %+v", c.Name, c.Base, c.Composite, want)
		}
	}
	if d := info.Columns[3]; d.Base == 0 || d.Enum != nil {
		t.Errorf("a domain over an enum: %+v", d)
	}
}
