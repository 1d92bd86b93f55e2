package gateway

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/e2e/proc"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

// built is package state because a test binary is what it belongs to.
var built proc.Build

// TestEverythingIsKilledUnderReaders has 50 readers follow shapes, by long polls and by server-sent events, while the gateway, the consumer
// and NATS are killed, each in a process of its own. Afterwards each reader has exactly the rows, and no team was ever there by half.
func TestEverythingIsKilledUnderReaders(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Postgres; not in -short")
	}
	url := pgtest.Database(t)
	ctx := t.Context()
	db, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close(context.Background()) })
	exec := func(sql string) {
		t.Helper()
		if _, err := db.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	exec(teams)
	until := func(what string, ok func() (bool, string)) {
		t.Helper()
		deadline := time.Now().Add(proc.Patience)
		for {
			yes, state := ok()
			if yes {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("waited %s until %s; now: %s", proc.Patience, what, state)
			}
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
				t.Fatal(ctx.Err())
			}
		}
	}
	server := proc.NewNATS(t, t.TempDir())
	startNATS := func() {
		t.Helper()
		server.Start(t)
		until("NATS answers", func() (bool, string) { err := server.Answers(ctx); return err == nil, fmt.Sprint(err) })
	}
	startNATS()
	port, err := natstest.FreePort(ctx)
	if err != nil {
		t.Fatal(err)
	}
	base := "http://127.0.0.1:" + strconv.Itoa(port)
	env := proc.Environment("SHAPEBUS_SOURCE="+fmt.Sprintf("g%08x", rand.Uint32()), "SHAPEBUS_NATS_URL="+server.URL(), "SHAPEBUS_DATABASE_URL="+url)
	start := func(name string, args ...string) *proc.Test {
		t.Helper()
		return proc.Spawn(t, proc.Options{Name: name, Path: built.Binary(t), Args: append([]string{name, "--listen="}, args...), Env: env})
	}
	start("ingest", "--sync-interval", "300ms")
	consumer := start("consumer", "--checkpoint", "100ms", "--catalog-interval", "1s")
	start("materializer", "--sync-interval", "300ms")
	args := []string{"--http-listen", "127.0.0.1:" + strconv.Itoa(port), "--chunk-bytes", "8KB", "--long-poll", "2s"}
	web := start("gateway", args...)

	queries := map[string]string{
		"": "SELECT id || '=' || v FROM members",
		"team IN (SELECT id FROM teams WHERE open)": "SELECT id || '=' || v FROM members WHERE team IN (SELECT id FROM teams WHERE open)",
	}
	until("the gateway answers", func() (bool, string) {
		r, err := get(ctx, base, values("table", "members", "offset", "-1"))
		return err == nil && r.status == 200, fmt.Sprintf("%s %v", r.body, err)
	})
	readers := map[string][]*running{}
	for where := range queries {
		for i := range 25 {
			def := values("table", "members")
			if where != "" {
				def.Set("where", where)
			}
			r := newReader(base, def, i%2 == 0)
			r.check = whole
			readers[where] = append(readers[where], run(t, fmt.Sprintf("%q, reader %d", where, i), r))
		}
	}
	n := 0
	traffic := func() {
		t.Helper()
		for range 6 {
			n++
			exec(fmt.Sprintf("UPDATE members SET v = 'v%d' WHERE team = %d", n, rand.IntN(6)+1))
			if n%4 == 0 {
				exec(fmt.Sprintf("UPDATE teams SET open = NOT open WHERE id = %d", rand.IntN(6)+1))
			}
		}
	}
	began := time.Now()
	exact := func(step string) {
		t.Helper()
		defer func() { t.Logf("%s: exact after %s", step, time.Since(began).Round(time.Millisecond)) }()
		for where, query := range queries {
			rows, err := db.Query(ctx, query+" ORDER BY (id || '=' || v) COLLATE \"C\"")
			if err != nil {
				t.Fatal(err)
			}
			want, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range readers[where] {
				until(fmt.Sprintf("%s: reader %d of %q is exact", step, i, where), func() (bool, string) {
					r.mu.Lock()
					defer r.mu.Unlock()
					if r.err != nil && !errors.Is(r.err, errAgain) {
						t.Fatal(r.err)
					}
					return cmp.Equal(texts(r.rows), want), fmt.Sprintf("%d rows of %d", len(r.rows), len(want))
				})
			}
		}
	}
	traffic()
	exact("at first")
	traffic()
	web.Kill()
	traffic()
	web = start("gateway", args...)
	traffic()
	exact("the gateway was killed")
	server.Proc.Kill()
	startNATS()
	traffic()
	exact("NATS was killed")
	consumer.Kill()
	traffic()
	consumer = start("consumer", "--checkpoint", "100ms", "--catalog-interval", "1s")
	web.Kill()
	web = start("gateway", args...)
	traffic()
	exact("the consumer and the gateway were killed")
	consumer.Stop()
	web.Stop()
	if web.State() != "exit status 0" {
		t.Errorf("the gateway stopped with %s", web.State())
	}
}
