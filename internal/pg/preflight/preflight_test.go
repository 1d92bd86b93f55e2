package preflight

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/dbtest"
	"github.com/shapebus/shapebus/internal/pg/prepare"
	"github.com/shapebus/shapebus/internal/pg/slots"
	"github.com/shapebus/shapebus/internal/pg/snapshots"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

// finding returns the one of a name.
func finding(t *testing.T, list []Finding, name string) Finding {
	t.Helper()
	for _, f := range list {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("no finding %q in %+v", name, list)
	return Finding{}
}

func TestCheckOfAReadyServer(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	dbtest.Exec(t, conn, "CREATE TABLE items (id int PRIMARY KEY)")
	o := Options{Publication: "p", Slot: dbtest.SlotName(conn), Tables: []string{"items"}}
	for _, f := range Check(t.Context(), conn, o) {
		if !f.OK || f.Level == LevelWarn && f.Name != "max_slot_wal_keep_size" {
			t.Errorf("before anything exists: %+v", f)
		}
	}
	if err := prepare.EnsurePublication(t.Context(), conn, "p"); err != nil {
		t.Fatal(err)
	}
	if err := slots.Create(t.Context(), conn, o.Slot); err != nil {
		t.Fatal(err)
	}
	if _, err := prepare.EnsureTable(t.Context(), conn, "p", dbtest.Lookup(t, conn, "public", "items"), 0); err != nil {
		t.Fatal(err)
	}
	list := Check(t.Context(), conn, o)
	for _, f := range list {
		if !f.OK {
			t.Errorf("when all exists: %+v", f)
		}
	}
	if f := finding(t, list, "table public.items"); f.Detail != "readable, in publication p with replica identity FULL" {
		t.Errorf("%+v", f)
	}
}

// A pooler that ignores start-up parameters gives a session with other settings.
func TestASessionThatIsNotAsItWasAskedForIsFound(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	if f := finding(t, Check(t.Context(), conn, Options{}), "session"); f.Level != LevelOK {
		t.Errorf("a session of Postgres itself: %+v", f)
	}
	dbtest.Exec(t, conn, "SET DateStyle = 'SQL, DMY'")
	if f := finding(t, Check(t.Context(), conn, Options{}), "session"); f.Level != LevelFail || !strings.Contains(f.Detail, "DateStyle") || !strings.Contains(f.Detail, "pooler") {
		t.Errorf("another date style: %+v", f)
	}
}

func TestTooManyConnectionsAreWarnedOf(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	for connections, want := range map[int]Level{1: LevelOK, 10_000: LevelWarn} {
		if f := finding(t, Check(t.Context(), conn, Options{Connections: connections}), "max_connections"); f.Level != want {
			t.Errorf("%d connections: %+v", connections, f)
		}
	}
}

func TestCheckFindsWhatIsMissing(t *testing.T) {
	url := pgtest.Database(t)
	admin := dbtest.Dial(t, url)
	userURL, role := dbtest.As(t, admin, url, "")
	dbtest.Script(t, admin, `CREATE TABLE secret (id int PRIMARY KEY); CREATE TABLE nokey (id int); CREATE VIEW v AS SELECT 1;
		CREATE PUBLICATION wrong; GRANT SELECT ON nokey TO `+pg.Ident(role))
	dbtest.Exec(t, admin, "SELECT pg_create_logical_replication_slot($1, 'test_decoding')", dbtest.SlotName(admin))
	conn := dbtest.Dial(t, userURL)
	list := Check(t.Context(), conn, Options{Publication: "new", Slot: dbtest.SlotName(admin), Tables: []string{"secret", "nokey", "nokeys", "v", "a.b.c"}})
	for name, want := range map[string]string{
		"role":                           "ALTER ROLE " + pg.Ident(role) + " REPLICATION",
		"publication new":                "GRANT CREATE ON DATABASE",
		"slot " + dbtest.SlotName(admin): "pg_drop_replication_slot",
		"table public.secret":            "GRANT SELECT",
		"table public.nokey":             `ALTER TABLE "public"."nokey" REPLICA IDENTITY FULL`,
	} {
		if f := finding(t, list, name); f.OK || f.Level != LevelFail || !strings.Contains(f.Fix, want) {
			t.Errorf("%+v, want %q in the fix", f, want)
		}
	}
	for name, want := range map[string]string{"table nokeys": "did you mean public.nokey?", "table v": "is a view", "table a.b.c": "want table or schema.table"} {
		if f := finding(t, list, name); f.OK || !strings.Contains(f.Detail, want) {
			t.Errorf("%+v, want %q", f, want)
		}
	}
	if f := finding(t, Check(t.Context(), conn, Options{Publication: "wrong"}), "publication wrong"); !strings.Contains(f.Fix, "ALTER PUBLICATION") {
		t.Errorf("%+v", f)
	}
	err := slots.Create(t.Context(), conn, dbtest.SlotName(admin)+"_2")
	if needs, ok := errors.AsType[*pg.NeedsError](err); !ok || !strings.Contains(needs.Statement, "REPLICATION") {
		t.Errorf("create slot: %v", err)
	}
}

func TestCheckOfAServerThatCannotReplicate(t *testing.T) {
	server := pgtest.Own(t, map[string]string{"wal_level": "replica", "max_replication_slots": "0", "max_wal_senders": "0", "max_slot_wal_keep_size": "1GB"})
	conn := dbtest.Dial(t, server.URL("postgres"))
	list := Check(t.Context(), conn, Options{Slot: "s", Publication: "p"})
	for name, want := range map[string]string{
		"wal_level": "ALTER SYSTEM SET wal_level = logical", "max_replication_slots": "max_replication_slots = 10", "max_wal_senders": "max_wal_senders = 10",
	} {
		if f := finding(t, list, name); f.OK || !strings.Contains(f.Fix, want) {
			t.Errorf("%+v", f)
		}
	}
	if f := finding(t, list, "max_slot_wal_keep_size"); f.Level != LevelOK {
		t.Errorf("%+v", f)
	}
	err := slots.Create(t.Context(), conn, "s")
	if _, ok := errors.AsType[*pg.NeedsError](err); !ok {
		t.Errorf("create slot: %v", err)
	}
}

func TestASlotThatNobodyReadForTooLongIsNamed(t *testing.T) {
	server := pgtest.Own(t, map[string]string{"checkpoint_timeout": "1h"})
	conn := dbtest.Dial(t, server.URL("postgres"))
	if pg.Major(conn) < 18 {
		t.Skip("idle_replication_slot_timeout came with Postgres 18")
	}
	warned := func() (detail string) {
		for _, f := range Check(t.Context(), conn, Options{Slot: "s"}) {
			if f.Name == "idle_replication_slot_timeout" && f.Level == LevelWarn {
				detail = f.Detail
			}
		}
		return detail
	}
	if d := warned(); d != "" {
		t.Errorf("without a limit: %s", d)
	}
	if err := slots.Create(t.Context(), conn, "s"); err != nil {
		t.Fatal(err)
	}
	dbtest.Exec(t, conn, "ALTER SYSTEM SET idle_replication_slot_timeout = '1s'")
	dbtest.Exec(t, conn, "SELECT pg_reload_conf()")
	deadline := time.Now().Add(time.Minute)
	var slot slots.Info
	for !slot.Lost() { // a checkpoint finds it
		if time.Now().After(deadline) {
			t.Fatalf("the slot is not given up: %+v", slot)
		}
		dbtest.Exec(t, conn, "SELECT pg_switch_wal()")
		dbtest.Exec(t, conn, "CHECKPOINT")
		var err error
		if slot, err = slots.Lookup(t.Context(), conn, "s"); err != nil {
			t.Fatal(err)
		}
	}
	if r := slot.LostReason(); !strings.Contains(r, "idle_replication_slot_timeout") {
		t.Errorf("lost because %q", r)
	}
	if d := warned(); !strings.HasPrefix(d, "1s") {
		t.Errorf("with a limit: %q", d)
	}
	if problems, err := Problems(t.Context(), conn, "p", slot); err != nil || len(problems) != 1 || !strings.Contains(problems[0], "idle_replication_slot_timeout") {
		t.Errorf("%q, %v", problems, err)
	}
}

func TestNamesOfTablesAreReadAsSQLReadsThem(t *testing.T) {
	for in, want := range map[string][2]string{
		"items":                  {"public", "items"},
		"Public.Items":           {"public", "items"},
		`"My Schema"."my.table"`: {"My Schema", "my.table"},
		`app."we""ird"`:          {"app", `we"ird`},
		` items `:                {"public", "items"},
	} {
		schema, name, err := parseName(in)
		if err != nil || schema != want[0] || name != want[1] {
			t.Errorf("parseName(%q) = %q, %q, %v", in, schema, name, err)
		}
	}
	for _, in := range []string{"", ".", "a.", ".a", "a.b.c", `"a`, `"a"b`, "a b", `a"b"`} {
		if _, _, err := parseName(in); err == nil {
			t.Errorf("parseName(%q) succeeded", in)
		}
	}
	for _, schema := range dbtest.Hostile {
		for _, name := range dbtest.Hostile {
			s, n, err := parseName(pg.Qualified(schema, name))
			if err != nil || s != schema || n != name {
				t.Errorf("%s: got %q, %q, %v", pg.Qualified(schema, name), s, n, err)
			}
		}
	}
}

func TestHostileNamesWorkEverywhere(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	for _, name := range dbtest.Hostile {
		t.Run(name, func(t *testing.T) {
			publication := "p " + name
			dbtest.Exec(t, conn, "CREATE SCHEMA "+pg.Ident(name))
			dbtest.Exec(t, conn, "CREATE TABLE "+pg.Qualified(name, name)+" (id int PRIMARY KEY, "+pg.Ident(name)+" text)")
			dbtest.Exec(t, conn, "INSERT INTO "+pg.Qualified(name, name)+" VALUES (1, "+pg.Literal(name)+")")
			if err := prepare.EnsurePublication(t.Context(), conn, publication); err != nil {
				t.Fatal(err)
			}
			info := dbtest.Lookup(t, conn, name, name, publication)
			if info.Relation.Schema != name || info.Relation.Name != name || info.Columns[1].Name != name {
				t.Fatalf("got %+v", info)
			}
			if changed, err := prepare.EnsureTable(t.Context(), conn, publication, info, 0); err != nil || !changed {
				t.Fatalf("changed %t, %v", changed, err)
			}
			if in, err := dbtest.InPublication(t.Context(), conn, publication, info.Relation.OID); err != nil || !in {
				t.Fatalf("in the publication: %t, %v", in, err)
			}
			snap, err := snapshots.Open(t.Context(), conn)
			if err != nil {
				t.Fatal(err)
			}
			var copied []string
			if _, err := snap.CopyRows(t.Context(), info, []string{name}, pg.Ident(name)+" = "+pg.Literal(name), func(row change.Row) error {
				copied = append(copied, string(row[0]))
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if err := snap.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(copied, []string{name}) {
				t.Fatalf("copied %q", copied)
			}
			for _, f := range Check(t.Context(), conn, Options{Publication: publication, Tables: []string{pg.Qualified(name, name)}}) {
				if !f.OK {
					t.Errorf("%+v", f)
				}
			}
		})
	}
}
