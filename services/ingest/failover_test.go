package ingest

import (
	"strings"
	"testing"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/preflight"
	"github.com/shapebus/shapebus/internal/pg/slots"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

func TestFailoverOfASlotThatExists(t *testing.T) {
	b := newBench(t, "")
	b.start().stop()
	failover := func(c *Config) { c.Failover = true }
	if pg.Major(b.db) < 17 {
		wantText(t, b.failure(failover), "it takes 17")
		return
	}
	for range 2 { // the second finds it as it is to be
		b.start(failover).stop()
		if slot, err := slots.Lookup(t.Context(), b.db, b.slot); err != nil || !slot.Failover {
			t.Fatalf("%+v, %v", slot, err)
		}
	}
}

func TestAStandbyThatIsDownIsTold(t *testing.T) {
	server := pgtest.Own(t, nil)
	if server.Version() < 17 {
		t.Skip("synchronized_standby_slots came with Postgres 17")
	}
	b := newBench(t, server.URL("postgres"))
	b.exec("CREATE TABLE t (id int PRIMARY KEY)")
	b.publish("t")
	b.exec("SELECT pg_create_physical_replication_slot('standby_1', true)")
	r := b.start(func(c *Config) { c.Failover = true })
	b.exec("ALTER SYSTEM SET synchronized_standby_slots = 'standby_1'")
	b.exec("SELECT pg_reload_conf()")
	b.exec("INSERT INTO t VALUES (1)")
	eventually(t, "what Postgres waits for is told", func() bool { return strings.Contains(r.Status().Waiting, "standby_1") })
	slot, err := slots.Lookup(t.Context(), b.db, b.slot)
	if err != nil {
		t.Fatal(err)
	}
	problems, err := preflight.Problems(t.Context(), b.db, "pub", slot)
	if err != nil || len(problems) != 1 || !strings.Contains(problems[0], "standby of slot standby_1") {
		t.Errorf("problems %q, %v", problems, err)
	}
	found := false
	for _, f := range preflight.Check(t.Context(), b.db, preflight.Options{Slot: b.slot}) {
		found = found || f.Name == "synchronized_standby_slots" && !f.OK && f.Fix != ""
	}
	if !found {
		t.Error("check says nothing")
	}
	b.exec("ALTER SYSTEM RESET synchronized_standby_slots")
	b.exec("SELECT pg_reload_conf()")
	b.expect("t 0 insert new (1)", "t commit 2")
	eventually(t, "Postgres waits for nothing", func() bool { return r.Status().Waiting == "" })
}
