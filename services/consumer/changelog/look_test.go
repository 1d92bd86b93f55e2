package changelog

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/pkg/change"
)

// TestASnapshotIsJudgedByWhatItMisses: several open snapshots and have them judged in another order, and whoever is first makes
// transactions be forgotten that the others may not see. Each is told of every transaction that was read and that it
// does not see. Nothing is remembered when nobody looks.
func TestASnapshotIsJudgedByWhatItMisses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type opening struct {
			look *Look
			snap *change.Snapshot // nil before it is taken
		}
		var v Visibility
		read := 0
		hidden := map[change.XID]bool{}
		var open []*opening
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch step := rapid.IntRange(0, 5).Draw(t, "step"); {
			case step <= 1:
				read++
				hidden[change.XID(read)] = true
				v.See(change.XID(read), change.LSN(read*10), uint64(read))
			case step == 2 && read > 0:
				delete(hidden, change.XID(rapid.IntRange(1, read).Draw(t, "visible")))
			case step == 3:
				open = append(open, &opening{look: v.Look()})
			case len(open) > 0:
				i := rapid.IntRange(0, len(open)-1).Draw(t, "who")
				o := open[i]
				if o.snap == nil {
					o.snap = &change.Snapshot{Xmin: 1, Xmax: change.FullXID(read + 1)}
					for x := range hidden {
						o.snap.Xip = append(o.snap.Xip, change.FullXID(x))
					}
					slices.Sort(o.snap.Xip)
					continue
				}
				v.Prune(*o.snap)
				unseen, complete := v.Unseen(o.look)
				if !complete {
					t.Fatal("few transactions are too many")
				}
				told := map[change.XID]bool{}
				for x := range unseen {
					told[x] = true
				}
				for x := range change.XID(read) {
					if x++; !o.snap.Sees(x) && !told[x] {
						t.Fatalf("the snapshot %s does not see transaction %d, and nobody says so", o.snap, x)
					}
				}
				o.look.Close()
				open = slices.Delete(open, i, i+1)
			}
		}
		for _, o := range open {
			o.look.Close()
		}
		if n := len(v.looks.pruned); n > 0 {
			t.Fatalf("%d transactions are remembered for nobody", n)
		}
	})
}

// TestALookThatTakesTooLongKnowsNothing: what is remembered for it is bounded.
func TestALookThatTakesTooLongKnowsNothing(t *testing.T) {
	var v Visibility
	slow := v.Look()
	defer slow.Close()
	for i := 1; i <= maxListed+10; i++ {
		v.See(change.XID(i), change.LSN(i), uint64(i))
		if i%1000 == 0 || i > maxListed {
			v.Prune(change.Snapshot{Xmin: change.FullXID(i + 1), Xmax: change.FullXID(i + 1)})
		}
	}
	if _, complete := v.Unseen(slow); complete {
		t.Error("what was forgotten is taken for nothing")
	}
	quick := v.Look()
	defer quick.Close()
	if _, complete := v.Unseen(quick); !complete {
		t.Error("a look that has just begun knows all there is")
	}
	if n := len(v.looks.pruned); n > maxListed {
		t.Errorf("%d transactions are remembered", n)
	}
}

// TestALookKnowsNothingOfWhatWasNotListed: transactions that found no room in the list are forgotten all at once, and a
// snapshot that was opened before may not see them.
func TestALookKnowsNothingOfWhatWasNotListed(t *testing.T) {
	var v Visibility
	for i := 1; i <= maxListed+1; i++ {
		v.See(change.XID(i), change.LSN(i), uint64(i))
	}
	earlier := v.Look()
	defer earlier.Close()
	v.Prune(change.Snapshot{Xmin: maxListed + 2, Xmax: maxListed + 2})
	if _, complete := v.Unseen(earlier); complete {
		t.Error("a transaction that was not listed is taken for visible to a snapshot from before")
	}
	later := v.Look()
	defer later.Close()
	if unseen, complete := v.Unseen(later); !complete {
		t.Error("a look that has just begun knows all there is")
	} else {
		for x := range unseen {
			t.Errorf("transaction %d may be invisible", x)
		}
	}
}
