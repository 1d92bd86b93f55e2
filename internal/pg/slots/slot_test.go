package slots

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/dbtest"
	"github.com/shapebus/shapebus/internal/pg/prepare"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

func TestASlotThatSurvivesAFailover(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	name := dbtest.SlotName(conn)
	err := Create(t.Context(), conn, name, WithFailover())
	slot, lookErr := Lookup(t.Context(), conn, name)
	if lookErr != nil {
		t.Fatal(lookErr)
	}
	if pg.Major(conn) < 17 {
		if err == nil || !strings.Contains(err.Error(), "it takes 17") || slot.Exists {
			t.Errorf("%v, %+v", err, slot)
		}
		return
	}
	if err != nil || !slot.Failover {
		t.Errorf("%v, %+v", err, slot)
	}
}

// TestHowMuchWALASlotMayStillTake: without a limit, which is Postgres' default, nothing is in danger, and a metric of 0 would
// raise the alarm for ever.
func TestHowMuchWALASlotMayStillTake(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Own(t, nil).URL("postgres"))
	if err := Create(t.Context(), conn, "s"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		limit string
		fits  func(int64) bool
	}{
		{"-1", func(safe int64) bool { return safe == -1 }},
		{"1GB", func(safe int64) bool { return safe > 512<<20 && safe <= 2<<30 }},
	} {
		dbtest.Exec(t, conn, "ALTER SYSTEM SET max_slot_wal_keep_size = '"+c.limit+"'")
		dbtest.Exec(t, conn, "SELECT pg_reload_conf()")
		deadline := time.Now().Add(30 * time.Second) // the server reads its configuration when it comes to it
		for {
			s, err := Lookup(t.Context(), conn, "s")
			if err != nil {
				t.Fatal(err)
			}
			if c.fits(s.SafeBytes) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("with max_slot_wal_keep_size = %s: %d", c.limit, s.SafeBytes)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func TestAServerInRecoveryGetsNoSlot(t *testing.T) {
	server := pgtest.Own(t, nil)
	var data string
	conn := dbtest.Dial(t, server.URL("postgres"))
	if err := conn.QueryRow(t.Context(), "SHOW data_directory").Scan(&data); err != nil {
		t.Fatal(err)
	}
	signal := filepath.Join(data, "standby.signal")
	err := os.WriteFile(signal, nil, 0o600)
	if err == nil {
		err = os.Chmod(signal, 0o666) //nolint:gosec // the server, another user, opens it for writing
	}
	if err != nil {
		t.Skipf("the server's data is not at hand: %v", err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn = dbtest.Dial(t, server.URL("postgres"))
	if err := Create(t.Context(), conn, "s"); !errors.Is(err, ErrRecovery) {
		t.Errorf("%v", err)
	}
	if slot, err := Lookup(t.Context(), conn, "s"); err != nil || slot.Exists {
		t.Errorf("there is a slot: %+v, %v", slot, err)
	}
}

func TestSlotsAndBarriers(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	name := dbtest.SlotName(conn)
	if s, err := Lookup(t.Context(), conn, name); err != nil || s.Exists {
		t.Fatalf("before: %+v, %v", s, err)
	}
	if err := Drop(t.Context(), conn, name); err != nil {
		t.Errorf("dropping none: %v", err)
	}
	if err := Create(t.Context(), conn, name); err != nil {
		t.Fatal(err)
	}
	if err := Create(t.Context(), conn, name); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("created twice: %v", err)
	}
	if err := Create(t.Context(), conn, "Bad Name"); err == nil || !strings.Contains(err.Error(), "a-z, 0-9 and _") {
		t.Errorf("bad name: %v", err)
	}
	s, err := Lookup(t.Context(), conn, name)
	if err != nil || !s.Exists || s.Active || s.Plugin != "pgoutput" || s.Database != conn.Config().Database || s.WALStatus != "reserved" ||
		s.ConfirmedFlush.IsZero() || s.RestartLSN.IsZero() || s.RestartLSN > s.ConfirmedFlush || s.Lost() {
		t.Errorf("%+v, %v", s, err)
	}
	if err := prepare.EnsurePublication(t.Context(), conn, "p"); err != nil {
		t.Fatal(err)
	}
	lsn, err := pg.EmitBarrier(t.Context(), conn, "shapebus", "payload 'x'")
	if err != nil || lsn < s.ConfirmedFlush {
		t.Fatalf("%s, %v", lsn, err)
	}
	messages := dbtest.Decoded(t, conn, name, "p")
	if n := len(messages); n < 3 || messages[n-3][0] != 'B' || !strings.HasSuffix(messages[n-2], "payload 'x'") || messages[n-1][0] != 'C' {
		t.Errorf("%q", messages)
	}
	dbtest.Exec(t, conn, "BEGIN")
	if _, err := pg.EmitBarrier(t.Context(), conn, "shapebus", "x"); err == nil {
		t.Error("a barrier inside a transaction would not be one")
	}
	dbtest.Exec(t, conn, "ROLLBACK")
	if err := Drop(t.Context(), conn, name); err != nil {
		t.Error(err)
	}
}
