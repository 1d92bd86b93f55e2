package main

import (
	"strings"
	"testing"

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
