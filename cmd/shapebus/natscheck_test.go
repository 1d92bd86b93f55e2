package main

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/pg/preflight"
)

// TestCheckRefusesOldNATS: such a server ignores what keeps late writers out, without a word.
func TestCheckRefusesOldNATS(t *testing.T) {
	for version, level := range map[string]preflight.Level{"2.11.9": preflight.LevelFail, "1.4.1": preflight.LevelFail, "built here": preflight.LevelWarn} {
		f, ok := checkVersion("server", "n1", version)
		if ok || f.Level != level || f.OK != (level != preflight.LevelFail) {
			t.Errorf("NATS %s: %+v, want %s", version, f, level)
		}
		if level == preflight.LevelFail && !strings.Contains(f.Fix, "2.12") {
			t.Errorf("NATS %s: the remedy %q does not say which version is needed", version, f.Fix)
		}
	}
	for _, version := range []string{"2.12.0", "2.15.2", "3.0.0"} {
		if f, ok := checkVersion("server", "n1", version); !ok {
			t.Errorf("NATS %s: %+v", version, f)
		}
	}
}

func TestCheckCountsTheStreamsOfASource(t *testing.T) {
	if n := len(streamsOf("main", 8)); n != 21 { // as nats stream ls counts them when all services have run
		t.Errorf("%d streams, want 21", n)
	}
}

func TestCheckComparesCopiesWithTheCluster(t *testing.T) {
	for _, c := range []struct {
		cluster  string
		replicas int
		level    preflight.Level
	}{
		{"", 1, preflight.LevelOK}, {"", 3, preflight.LevelFail}, {"c", 1, preflight.LevelWarn}, {"c", 3, preflight.LevelOK},
	} {
		if f := checkReplicas(c.cluster, c.replicas); f.Level != c.level {
			t.Errorf("%d copies in cluster %q: %+v, want %s", c.replicas, c.cluster, f, c.level)
		}
	}
}

func TestCheckComparesTheChangeLogWithTheAccount(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		name            string
		limit           int64
		store, reserved uint64
		bytes           int64
		replicas        int
		level           preflight.Level // "" for nothing to say
	}{
		{"no limit", -1, 0, 0, 8 * gib, 1, ""},
		{"room", 10 * gib, gib, 0, 8 * gib, 1, preflight.LevelOK},
		{"too small", 4 * gib, 0, 0, 8 * gib, 1, preflight.LevelFail},
		{"reserved by others", 10 * gib, 0, 3 * gib, 8 * gib, 1, preflight.LevelFail},
		{"three copies", 10 * gib, 0, 0, 8 * gib, 3, preflight.LevelFail},
		{"it reserves nothing", 4 * gib, 0, 0, -1, 3, preflight.LevelOK},
	} {
		tier := jetstream.Tier{Store: c.store, ReservedStore: c.reserved, Limits: jetstream.AccountLimits{MaxStore: c.limit}}
		found := checkReserve(tier, c.bytes, c.replicas)
		if len(found) == 0 != (c.level == "") || len(found) > 0 && found[0].Level != c.level {
			t.Errorf("%s: %+v, want %q", c.name, found, c.level)
		}
	}
}
