package pg

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

func TestASlotThatSurvivesAFailover(t *testing.T) {
	conn := dial(t, pgtest.Database(t))
	name := slotName(conn)
	err := CreateSlot(t.Context(), conn, name, WithFailover())
	slot, lookErr := LookupSlot(t.Context(), conn, name)
	if lookErr != nil {
		t.Fatal(lookErr)
	}
	if Major(conn) < 17 {
		if err == nil || !strings.Contains(err.Error(), "it takes 17") || slot.Exists {
			t.Errorf("%v, %+v", err, slot)
		}
		return
	}
	if err != nil || !slot.Failover {
		t.Errorf("%v, %+v", err, slot)
	}
}

func TestAServerInRecoveryGetsNoSlot(t *testing.T) {
	server := pgtest.Own(t, nil)
	var data string
	conn := dial(t, server.URL("postgres"))
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
	conn = dial(t, server.URL("postgres"))
	if err := CreateSlot(t.Context(), conn, "s"); !errors.Is(err, ErrRecovery) {
		t.Errorf("%v", err)
	}
	if slot, err := LookupSlot(t.Context(), conn, "s"); err != nil || slot.Exists {
		t.Errorf("there is a slot: %+v, %v", slot, err)
	}
}

func TestASlotThatNobodyReadForTooLongIsNamed(t *testing.T) {
	server := pgtest.Own(t, map[string]string{"checkpoint_timeout": "1h"})
	conn := dial(t, server.URL("postgres"))
	if Major(conn) < 18 {
		t.Skip("idle_replication_slot_timeout came with Postgres 18")
	}
	warned := func() (detail string) {
		for _, f := range Check(t.Context(), conn, CheckOptions{Slot: "s"}) {
			if f.Name == "idle_replication_slot_timeout" && f.Level == LevelWarn {
				detail = f.Detail
			}
		}
		return detail
	}
	if d := warned(); d != "" {
		t.Errorf("without a limit: %s", d)
	}
	if err := CreateSlot(t.Context(), conn, "s"); err != nil {
		t.Fatal(err)
	}
	exec(t, conn, "ALTER SYSTEM SET idle_replication_slot_timeout = '1s'")
	exec(t, conn, "SELECT pg_reload_conf()")
	deadline := time.Now().Add(time.Minute)
	var slot SlotInfo
	for !slot.Lost() { // a checkpoint finds it
		if time.Now().After(deadline) {
			t.Fatalf("the slot is not given up: %+v", slot)
		}
		exec(t, conn, "SELECT pg_switch_wal()")
		exec(t, conn, "CHECKPOINT")
		var err error
		if slot, err = LookupSlot(t.Context(), conn, "s"); err != nil {
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
