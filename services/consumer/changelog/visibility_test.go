package changelog

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/pkg/change"
)

// TestFloorCoversWhatASnapshotMisses checks the rule that makes a shape's
// beginning exact: whatever was read, and a snapshot as new as the last prune
// does not see, is at or after the floor; and nothing older is.
func TestFloorCoversWhatASnapshotMisses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var v Visibility
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
					v.See(x.xid, x.lsn, x.first+uint64(i))
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
				v.Prune(s)
				want := slices.IndexFunc(read, func(x readTxn) bool { return hidden[x.xid] })
				p, ok := v.Floor()
				if ok != (want >= 0) || ok && p != (Place{LSN: read[want].lsn, Seq: read[want].first}) {
					t.Fatalf("floor %v %v; oldest hidden transaction %d of %v", p, ok, want, read)
				}
			}
		}
	})
}

// TestVisibilityIsBounded fills the list: the floor stays down until a
// snapshot sees even what was not listed.
func TestVisibilityIsBounded(t *testing.T) {
	var v Visibility
	n := maxListed + 500
	for i := 1; i <= n; i++ {
		v.See(change.XID(i), change.LSN(i), uint64(i))
	}
	if len(v.seen) > maxListed {
		t.Fatalf("%d transactions are listed", len(v.seen))
	}
	v.Prune(change.Snapshot{Xmin: change.FullXID(n), Xmax: change.FullXID(n + 1)}) // the last may be invisible
	if p, ok := v.Floor(); !ok || p.Seq != 1 {
		t.Fatalf("floor %d, %v; want 1", p.Seq, ok)
	}
	v.Prune(change.Snapshot{Xmin: change.FullXID(n + 1), Xmax: change.FullXID(n + 1)})
	if _, ok := v.Floor(); ok {
		t.Fatal("there is a floor though all is visible")
	}
}
