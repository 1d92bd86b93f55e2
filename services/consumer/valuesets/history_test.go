package valuesets_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/internal/proptest"
	"github.com/shapebus/shapebus/internal/valueset"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/valuesets"
)

// histories is how many the ordinary test plays; -rapid.checks asks for more.
const histories = 10000

// Whatever is delivered, trimmed, loaded and restarted in whatever order: an
// answer that is given is the truth, and once everything has arrived there is one.
func TestWhatIsKnownIsTrue(t *testing.T) {
	proptest.Checks(t, histories)
	var asked, answered int
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t}
		w.restart()
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 12).Draw(t, "do") {
			case 0, 12:
				w.load()
			case 1:
				w.fold()
			case 2:
				w.restart()
			case 3, 4, 5:
				asked++
				if view, _ := w.ask(0); view == valuesets.Known {
					answered++
				}
			default:
				w.step()
			}
		}
		if !w.history.Loaded() {
			w.load()
		}
		w.deliverAll()
		if !w.answers() {
			w.load() // what is stored may reach further back than what is held
			w.deliverAll()
			if !w.answers() {
				t.Fatalf("all has arrived and there is no answer\n%s", w)
			}
		}
	})
	t.Logf("%d of %d questions had an answer before all had arrived", answered, asked)
	if answered < asked/10 {
		t.Error("so few answers prove little")
	}
}

// TestASetThatNeverRestsStaysSmall: somebody has a view of it whenever it is trimmed, and that stays what it was.
func TestASetThatNeverRestsStaysSmall(t *testing.T) {
	var h valuesets.History
	h.Load(&valueset.Set{}, change.Offset{}, valuesets.Chain{})
	before, kept := change.Offset{}, 0
	for lsn := change.LSN(1); lsn <= 100_000; lsn++ {
		at := change.Offset{LSN: lsn, Op: 2}
		if !h.Add(&wire.Verdict{Offset: at, Deltas: wire.DeltasOf(wire.Delta{Key: string(valueset.AppendComponent(nil, []byte("x"))), Count: 1})}, before) {
			t.Fatal("a verdict was missing")
		}
		if before = at; lsn%1000 != 0 {
			continue
		}
		view := h.View(lsn, nil)
		was := view.Len()
		h.Condense(lsn, 1<<20)
		h.Trim(lsn)
		if view.Len() != was || h.At(lsn, nil, at) != valuesets.Known || !h.View(lsn, nil).Has(valueset.AppendComponent(nil, []byte("x"))) {
			t.Fatalf("at %d the set is not what it was", lsn)
		}
		kept = max(kept, h.Verdicts())
	}
	if kept > 10_000 {
		t.Errorf("%d verdicts of 100,000 were there at once", kept)
	}
}

// TestAnAnswerStaysWhatItWas: who was given verdicts goes through them while others trim the history. Each may take a while, as
// it may begin a unit.
func TestAnAnswerStaysWhatItWas(t *testing.T) {
	at := func(lsn change.LSN) change.Offset { return change.Offset{LSN: lsn, Op: 2} }
	var h valuesets.History
	h.Load(&valueset.Set{}, change.Offset{}, valuesets.Chain{})
	before := change.Offset{}
	for lsn := change.LSN(1); lsn <= 6; lsn++ {
		if !h.Add(&wire.Verdict{Offset: at(lsn)}, before) {
			t.Fatal("a verdict was missing")
		}
		before = at(lsn)
	}
	verdicts, answer := h.On(4, at(6))
	if answer != valuesets.Known || len(verdicts) != 1 || verdicts[0].Offset != at(4) {
		t.Fatalf("on 4: %v, %v", verdicts, answer)
	}
	h.Fold(h.View(6, nil), 6)
	h.Trim(6)
	if verdicts[0] == nil || verdicts[0].Offset != at(4) {
		t.Errorf("after the history was trimmed the answer is %v", verdicts[0])
	}
}
