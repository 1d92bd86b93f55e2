package materializer

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
)

// The floor offers quiet places only whose verdicts are stored, each once, the
// last one there is, and none is lost for good.
func TestFloorIsTheLastSettledPlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var f floor
		var seq, sent, stored, taken uint64
		quiet := map[uint64]uint64{} // sequence → verdicts sent before
		for range rapid.IntRange(0, 100).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				seq++
				f.Quiet(seq, nil)
				quiet[seq] = sent
			case 1:
				seq++ // inside a transaction
			case 2:
				f.Sent()
				sent++
			case 3:
				stored = rapid.Uint64Range(stored, sent).Draw(t, "stored")
				var want uint64
				for s, before := range quiet {
					if before <= stored {
						want = max(want, s)
					}
				}
				q, ok := f.Take(stored)
				if ok != (want > taken) || ok && q.seq != want {
					t.Fatalf("offers %d (%t), want %d after %d", q.seq, ok, want, taken)
				}
				taken = max(taken, want)
			}
			if uint64(len(f.waiting)) > sent-stored+1 {
				t.Fatalf("%d places wait for %d verdicts", len(f.waiting), sent-stored)
			}
		}
	})
}

// The sets to follow are those that some shape in use names.
func TestWantsAreTheUnionOfShapesInUse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWants()
		wake, stop := w.Wake(1)
		defer stop()
		model := map[string][]registry.Subquery{}
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			id := fmt.Sprint("shape", rapid.IntRange(0, 4).Draw(t, "id"))
			before := w.Of(1)
			rec := &registry.Shape{State: rapid.SampledFrom([]control.State{control.StateCreating, control.StateLive, control.StateEnded, control.StateDeleting}).Draw(t, "state")}
			for range rapid.IntRange(0, 3).Draw(t, "subqueries") {
				rec.Subqueries = append(rec.Subqueries, registry.Subquery{
					Handle: rapid.SampledFrom([]string{"h1", "h2"}).Draw(t, "handle"), Columns: []int{rapid.IntRange(0, 1).Draw(t, "column")},
					Partition: rapid.IntRange(0, 1).Draw(t, "partition"),
				})
			}
			delete(model, id)
			if rapid.IntRange(0, 4).Draw(t, "removed") == 0 {
				w.Event(id, nil)
			} else {
				w.Event(id, rec)
				if rec.State == control.StateCreating || rec.State == control.StateLive {
					model[id] = rec.Subqueries
				}
			}
			want := map[string]bool{}
			for _, list := range model {
				for _, q := range list {
					if q.Partition == 1 {
						want[q.ValueSet()] = true
					}
				}
			}
			got := w.Of(1)
			if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, slices.Sorted(maps.Keys(want))) {
				t.Fatalf("wants %v, want %v", names, want)
			}
			woken := false
			select {
			case <-wake:
				woken = true
			default:
			}
			if same := maps.EqualFunc(before, got, func(a, b registry.Subquery) bool { return a.ValueSet() == b.ValueSet() }); !same && !woken {
				t.Fatal("nobody is told of a change")
			}
		}
	})
}

func TestFloorsWaitForTheDisk(t *testing.T) {
	var f floors
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	for _, step := range []struct {
		second  int
		lsn     change.LSN
		history string
		safe    change.LSN
	}{
		{0, 10, "a", 0},
		{5, 20, "a", 0},
		{10, 30, "a", 10},
		{16, 40, "a", 20},
		{17, 25, "a", 20},
		{30, 25, "a", 25},
		{45, 50, "a", 25},
		{60, 50, "a", 50},
		{61, 70, "b", 0},
		{71, 80, "b", 70},
	} {
		if got := f.add(at(step.second), step.lsn, step.history, 10*time.Second); got != step.safe {
			t.Errorf("at %d s: %d is safe, want %d", step.second, got, step.safe)
		}
	}
	if len(f) > 2 {
		t.Errorf("%d floors are kept", len(f))
	}
}

func TestServersThatCannotResetADurableAreKnown(t *testing.T) {
	for version, want := range map[string]bool{"2.12.0": false, "2.13.9": false, "2.14.0-RC.1": true, "2.15.2": true, "3.0.1": true, "": false, "unknown": false} {
		if canReset(version) != want {
			t.Errorf("%q: %t", version, !want)
		}
	}
}
