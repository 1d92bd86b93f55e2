package consumer

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/changelog"
)

// TestFloorCoversWhatASnapshotMisses checks the rule that makes a shape's
// beginning exact: whatever was read, and a snapshot as new as the last prune
// does not see, is at or after the floor; and nothing older is.
func TestFloorCoversWhatASnapshotMisses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var v visibility
		var read []readTxn
		hidden := map[change.XID]bool{} // in the WAL, not yet visible
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0, 1: // a transaction is read, at one or several fragments
				n := len(read) + 1
				x := readTxn{change.XID(n), change.LSN(n * 10), uint64(n * 2)}
				read = append(read, x)
				hidden[x.xid] = true
				for i := range rapid.IntRange(1, 2).Draw(t, "fragments") {
					v.see(x.xid, x.lsn, x.first+uint64(i))
				}
			case 2: // one becomes visible, in any order
				if len(read) > 0 {
					delete(hidden, read[rapid.IntRange(0, len(read)-1).Draw(t, "visible")].xid)
				}
			case 3:
				s := change.Snapshot{Xmin: 1, Xmax: change.FullXID(len(read) + 1)}
				for x := range hidden {
					s.Xip = append(s.Xip, change.FullXID(x))
				}
				slices.Sort(s.Xip)
				v.prune(s)
				want := slices.IndexFunc(read, func(x readTxn) bool { return hidden[x.xid] })
				lsn, seq, ok := v.floor()
				if ok != (want >= 0) || ok && (lsn != read[want].lsn || seq != read[want].first) {
					t.Fatalf("floor %v %v %v; oldest hidden transaction %d of %v", lsn, seq, ok, want, read)
				}
			}
		}
	})
}

// TestVisibilityIsBounded fills the list: the floor stays down until a
// snapshot sees even what was not listed.
func TestVisibilityIsBounded(t *testing.T) {
	var v visibility
	n := maxListed + 500
	for i := 1; i <= n; i++ {
		v.see(change.XID(i), change.LSN(i), uint64(i))
	}
	if len(v.seen) > maxListed {
		t.Fatalf("%d transactions are listed", len(v.seen))
	}
	v.prune(change.Snapshot{Xmin: change.FullXID(n), Xmax: change.FullXID(n + 1)}) // the last may be invisible
	if _, seq, ok := v.floor(); !ok || seq != 1 {
		t.Fatalf("floor %d, %v; want 1", seq, ok)
	}
	v.prune(change.Snapshot{Xmin: change.FullXID(n + 1), Xmax: change.FullXID(n + 1)})
	if _, _, ok := v.floor(); ok {
		t.Fatal("there is a floor though all is visible")
	}
}

func TestWindowGivesWhatFollows(t *testing.T) {
	w := window{limit: 30}
	for i := range uint64(10) {
		w.add(stream.Received{First: 2*i + 1, Seq: 2*i + 2, Data: make([]byte, 10)})
	}
	// Three messages fit: 15-16, 17-18, 19-20.
	for _, tt := range []struct {
		next  uint64
		ok    bool
		first uint64 // 0: none
	}{
		{13, false, 0}, {15, true, 15}, {17, true, 17}, {19, true, 19}, {21, true, 0}, {40, true, 0},
	} {
		got, ok := w.from(tt.next)
		var first uint64
		if ok && len(got) > 0 {
			first = got[0].First
		}
		if ok != tt.ok || first != tt.first {
			t.Errorf("from %d: first %d, %v; want %d, %v", tt.next, first, ok, tt.first, tt.ok)
		}
	}
}

func TestFloorsWaitForTheDisk(t *testing.T) {
	var f floors
	t0 := time.Unix(1000, 0)
	for _, tt := range []struct {
		after time.Duration
		lsn   change.LSN
		safe  change.LSN
	}{
		{0, 10, 0}, {time.Second, 20, 0}, {2 * time.Second, 30, 10}, {5 * time.Second, 40, 30}, {6 * time.Second, 40, 0}, {8 * time.Second, 40, 40},
	} {
		if got := f.add(t0.Add(tt.after), changelog.Place{LSN: tt.lsn}, 2*time.Second); got.LSN != tt.safe {
			t.Errorf("after %s: safe %d, want %d", tt.after, got.LSN, tt.safe)
		}
	}
}
