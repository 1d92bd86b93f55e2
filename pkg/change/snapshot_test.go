package change_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/pkg/change"
)

func parseSnapshot(t *testing.T, text string, lsn change.LSN) change.Snapshot {
	t.Helper()
	s, err := change.ParseSnapshot(text)
	if err != nil {
		t.Fatal(err)
	}
	s.LSN = lsn
	return s
}

func TestSnapshotPrintsWhatPostgresPrinted(t *testing.T) {
	for _, text := range []string{"1:1:", "700:710:701", "700:710:701,705,709", "4294967290:8589934600:4294967290,8589934592"} {
		if got := parseSnapshot(t, text, 0).String(); got != text {
			t.Errorf("%q was read as %q", text, got)
		}
	}
	for _, text := range []string{"", "1", "1:2", "1:2:3:4", "x:2:", "1:x:", "1:2:x", "1:2:1,", "-1:2:", "1:2:1 "} {
		if got, err := change.ParseSnapshot(text); err == nil {
			t.Errorf("ParseSnapshot(%q) = %s, want an error", text, got)
		}
	}
}

func TestSnapshotHolds(t *testing.T) {
	const at = 1000
	const epoch = 1 << 32
	for _, c := range []struct {
		name     string
		snapshot string
		xid      change.XID
		commit   change.LSN
		want     bool
	}{
		{"ended long before", "700:710:701,705", 600, 500, true},
		{"just below xmin", "700:710:701,705", 699, 500, true},
		{"between xmin and xmax, ended", "700:710:701,705", 702, 500, true},
		{"between xmin and xmax, running", "700:710:701,705", 705, 500, false},
		{"running, although its commit was in the WAL already", "700:710:701,705", 701, 999, false},
		{"began later", "700:710:701,705", 710, 1500, false},
		{"began later, and by its LSN before", "700:710:701,705", 711, 999, false},
		{"visible, committed exactly at the snapshot's position", "700:710:701,705", 702, at, false},
		{"visible by its id, committed behind the snapshot's position", "700:710:701,705", 702, 1001, false},
		{"an id from before the counter wrapped", "4294967306:4294967306:", 4294967290, 500, true},
		{"the same id when it has not wrapped yet", "4294967280:4294967280:", 4294967290, 500, false},
		{"running across the wrap", "4294967290:4294967306:4294967290,4294967300", 4294967290, 500, false},
		{"running behind the wrap", "4294967290:4294967306:4294967290,4294967300", 4294967300 - epoch, 500, false},
		{"ended behind the wrap", "4294967290:4294967306:4294967290,4294967300", 4294967301 - epoch, 500, true},
		{"began behind the wrap", "4294967290:4294967306:4294967290", 4294967306 - epoch, 500, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := parseSnapshot(t, c.snapshot, at)
			if got := s.Holds(c.xid, c.commit); got != c.want {
				t.Errorf("snapshot %s at %s holds %d committed at %s: %t, want %t", s, s.LSN, c.xid, c.commit, got, c.want)
			}
		})
	}
}

// The model is the definition of a snapshot on 64-bit ids; the code sees only the 32 bits that the stream gives.
func TestSnapshotSeesAsByItsDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Around a wrap more often than by chance, and never closer to the first id than Postgres' horizon.
		xmax := change.FullXID(rapid.OneOf(rapid.Uint64Range(1<<33-50, 1<<33+50), rapid.Uint64Range(1<<32, 1<<50)).Draw(t, "xmax"))
		s := change.Snapshot{Xmin: xmax - change.FullXID(rapid.Uint64Range(0, 40).Draw(t, "width")), Xmax: xmax}
		for id := s.Xmin; id < s.Xmax; id++ {
			if id == s.Xmin || rapid.Bool().Draw(t, "running") {
				s.Xip = append(s.Xip, id)
			}
		}
		distance := rapid.OneOf(rapid.Int64Range(-60, 60), rapid.Int64Range(-1<<31, 1<<31-1)).Draw(t, "distance")
		full := change.FullXID(int64(xmax) + distance)

		if got := s.Widen(change.XID(full)); got != full {
			t.Fatalf("snapshot %s widens %d to %d, want %d", s, change.XID(full), got, full)
		}
		want := full < s.Xmax && !slices.Contains(s.Xip, full)
		if got := s.Sees(change.XID(full)); got != want {
			t.Fatalf("snapshot %s sees %d: %t, want %t", s, full, got, want)
		}
		again, err := change.ParseSnapshot(s.String())
		if err != nil || again.String() != s.String() {
			t.Fatalf("%s reads as %s, %v", s, again, err)
		}
	})
}
