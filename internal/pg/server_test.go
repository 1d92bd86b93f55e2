package pg

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

func TestConnectSaysWhatToDo(t *testing.T) {
	good := pgtest.Database(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	with := func(change func(*url.URL)) string {
		u, err := url.Parse(good)
		if err != nil {
			t.Fatal(err)
		}
		change(u)
		return u.String()
	}
	for name, c := range map[string]struct {
		url       string
		want      string
		temporary bool
	}{
		"nobody listens":   {with(func(u *url.URL) { u.Host = refused; u.User = url.UserPassword("u", "s3cret") }), "connection refused; start the server", true},
		"no such database": {with(func(u *url.URL) { u.Path = "/nope" }), `CREATE DATABASE "nope"`, false},
		"no such role":     {with(func(u *url.URL) { u.User = url.UserPassword("nobody here", "s3cret") }), `CREATE ROLE "nobody here"`, false},
		"no such host":     {with(func(u *url.URL) { u.Host = "no-such-host.invalid:5432" }), "check the host name", true},
		"no TLS":           {with(func(u *url.URL) { u.RawQuery = "sslmode=require" }), "does not speak TLS", false},
		"no socket":        {"host=/does/not/exist user=u dbname=d password=s3cret", "no server socket", true},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := ParseConfig(c.url, "test")
			if err != nil {
				t.Fatal(err)
			}
			_, err = Connect(t.Context(), cfg)
			failure, ok := errors.AsType[*ConnectError](err)
			if !ok || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") || failure.Temporary() != c.temporary {
				t.Errorf("temporary %t: %v", ok && failure.Temporary(), err)
			}
		})
	}
	cfg, err := ParseConfig(good, "test")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Connect(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestSlotsAndBarriers(t *testing.T) {
	conn := dial(t, pgtest.Database(t))
	name := slotName(conn)
	if s, err := LookupSlot(t.Context(), conn, name); err != nil || s.Exists {
		t.Fatalf("before: %+v, %v", s, err)
	}
	if err := DropSlot(t.Context(), conn, name); err != nil {
		t.Errorf("dropping none: %v", err)
	}
	if err := CreateSlot(t.Context(), conn, name); err != nil {
		t.Fatal(err)
	}
	if err := CreateSlot(t.Context(), conn, name); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("created twice: %v", err)
	}
	if err := CreateSlot(t.Context(), conn, "Bad Name"); err == nil || !strings.Contains(err.Error(), "a-z, 0-9 and _") {
		t.Errorf("bad name: %v", err)
	}
	s, err := LookupSlot(t.Context(), conn, name)
	if err != nil || !s.Exists || s.Active || s.Plugin != "pgoutput" || s.Database != conn.Config().Database || s.WALStatus != "reserved" ||
		s.ConfirmedFlush.IsZero() || s.RestartLSN.IsZero() || s.RestartLSN > s.ConfirmedFlush || s.Lost() {
		t.Errorf("%+v, %v", s, err)
	}
	if err := EnsurePublication(t.Context(), conn, "p"); err != nil {
		t.Fatal(err)
	}
	lsn, err := EmitBarrier(t.Context(), conn, "shapebus", "payload 'x'")
	if err != nil || lsn < s.ConfirmedFlush {
		t.Fatalf("%s, %v", lsn, err)
	}
	messages := decoded(t, conn, name, "p")
	if n := len(messages); n < 3 || messages[n-3][0] != 'B' || !strings.HasSuffix(messages[n-2], "payload 'x'") || messages[n-1][0] != 'C' {
		t.Errorf("%q", messages)
	}
	exec(t, conn, "BEGIN")
	if _, err := EmitBarrier(t.Context(), conn, "shapebus", "x"); err == nil {
		t.Error("a barrier inside a transaction would not be one")
	}
	exec(t, conn, "ROLLBACK")
	if err := DropSlot(t.Context(), conn, name); err != nil {
		t.Error(err)
	}
}

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
	conn := dial(t, pgtest.Database(t))
	exec(t, conn, "CREATE TABLE items (id int PRIMARY KEY)")
	o := CheckOptions{Publication: "p", Slot: slotName(conn), Tables: []string{"items"}}
	for _, f := range Check(t.Context(), conn, o) {
		if !f.OK || f.Level == LevelWarn && f.Name != "max_slot_wal_keep_size" {
			t.Errorf("before anything exists: %+v", f)
		}
	}
	if err := EnsurePublication(t.Context(), conn, "p"); err != nil {
		t.Fatal(err)
	}
	createSlot(t, conn)
	ensure(t, conn, "p", lookup(t, conn, "public", "items"))
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

func TestCheckFindsWhatIsMissing(t *testing.T) {
	url := pgtest.Database(t)
	admin := dial(t, url)
	userURL, role := as(t, admin, url, "")
	script(t, admin, `CREATE TABLE secret (id int PRIMARY KEY); CREATE TABLE nokey (id int); CREATE VIEW v AS SELECT 1;
		CREATE PUBLICATION wrong; GRANT SELECT ON nokey TO `+Ident(role))
	exec(t, admin, "SELECT pg_create_logical_replication_slot($1, 'test_decoding')", slotName(admin))
	conn := dial(t, userURL)
	list := Check(t.Context(), conn, CheckOptions{Publication: "new", Slot: slotName(admin), Tables: []string{"secret", "nokey", "nokeys", "v", "a.b.c"}})
	for name, want := range map[string]string{
		"role":                    "ALTER ROLE " + Ident(role) + " REPLICATION",
		"publication new":         "GRANT CREATE ON DATABASE",
		"slot " + slotName(admin): "pg_drop_replication_slot",
		"table public.secret":     "GRANT SELECT",
		"table public.nokey":      `ALTER TABLE "public"."nokey" REPLICA IDENTITY FULL`,
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
	if f := finding(t, Check(t.Context(), conn, CheckOptions{Publication: "wrong"}), "publication wrong"); !strings.Contains(f.Fix, "ALTER PUBLICATION") {
		t.Errorf("%+v", f)
	}
	err := CreateSlot(t.Context(), conn, slotName(admin)+"_2")
	if needs, ok := errors.AsType[*NeedsError](err); !ok || !strings.Contains(needs.Statement, "REPLICATION") {
		t.Errorf("create slot: %v", err)
	}
}

func TestCheckOfAServerThatCannotReplicate(t *testing.T) {
	server := pgtest.Own(t, map[string]string{"wal_level": "replica", "max_replication_slots": "0", "max_wal_senders": "0", "max_slot_wal_keep_size": "1GB"})
	conn := dial(t, server.URL("postgres"))
	list := Check(t.Context(), conn, CheckOptions{Slot: "s", Publication: "p"})
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
	err := CreateSlot(t.Context(), conn, "s")
	if _, ok := errors.AsType[*NeedsError](err); !ok {
		t.Errorf("create slot: %v", err)
	}
}
