package valuesets_test

import (
	"fmt"
	"slices"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/internal/valueset"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/valuesets"
)

// world is an inner shape's log, its materializer and a consumer that learns of
// both late, in pieces, twice, and again after restarts.
type world struct {
	t *rapid.T

	written change.LSN      // the log has all commits up to here
	markers []*wire.Verdict // of the log, with what each changed

	published int // verdicts that are stored, of the markers
	trimmed   int // of these the first are gone
	base      int // the stored base is behind so many markers

	floor     change.LSN // no question is about a place below floor-1
	noted     valuesets.Markers
	history   valuesets.History
	delivered int // verdicts that the live reader has brought
}

// commit writes a commit, which changes the log or does not; now and then a
// second marker of the commit before it.
func (w *world) commit() {
	op := uint64(0)
	if n := len(w.markers); n > 0 && w.markers[n-1].Offset.LSN == w.written && rapid.IntRange(0, 3).Draw(w.t, "same commit") == 0 {
		op = w.markers[n-1].Offset.Op
	} else {
		w.written += change.LSN(rapid.IntRange(1, 3).Draw(w.t, "lsn"))
		if rapid.Bool().Draw(w.t, "nothing") {
			return
		}
	}
	v := &wire.Verdict{Offset: change.Offset{LSN: w.written, Op: op + uint64(rapid.IntRange(1, 4).Draw(w.t, "ops"))}}
	for _, key := range []string{"a", "b", "c"} {
		if n := rapid.IntRange(-1, 1).Draw(w.t, "delta"); n != 0 {
			v.Deltas = v.Deltas.Append([]byte(key), int64(n))
		}
	}
	w.markers = append(w.markers, v)
	w.noted.Note(change.Offset{LSN: v.Offset.LSN})
	w.noted.Note(v.Offset)
}

// sum is the set behind the markers that pass.
func (w *world) sum(pass func(i int, v *wire.Verdict) bool) *valueset.Set {
	s := &valueset.Set{}
	for i, v := range w.markers {
		if pass(i, v) {
			for key, n := range v.Deltas.All() {
				s.Add(key, n)
			}
		}
	}
	return s
}

func (w *world) offset(markers int) change.Offset {
	if markers == 0 {
		return change.Offset{}
	}
	return w.markers[markers-1].Offset
}

// trimStored is the materializer's: what the base has and no place needs.
func (w *world) trimStored() {
	for w.trimmed < w.base && w.markers[w.trimmed].Offset.LSN < w.floor {
		w.trimmed++
	}
}

func (w *world) deliver() {
	if w.delivered < w.trimmed {
		w.delivered = w.trimmed // they were trimmed before they were read
	}
	from := w.delivered
	if from > w.trimmed && rapid.IntRange(0, 3).Draw(w.t, "repeat") == 0 {
		from = rapid.IntRange(w.trimmed, from).Draw(w.t, "from")
	}
	for i := from; i < w.published; i++ {
		if w.history.Loaded() && !w.history.Add(w.markers[i], w.offset(i)) {
			w.history.Unload()
		}
		w.delivered = max(w.delivered, i+1)
		if rapid.Bool().Draw(w.t, "pause") {
			return
		}
	}
}

// load reads what is stored: the verdicts first, then the base, with anything in between.
func (w *world) load() {
	for {
		var chain valuesets.Chain
		from := w.trimmed
		to := rapid.IntRange(min(max(from, w.delivered), w.published), w.published).Draw(w.t, "the replica has")
		for i := from; i < to; i++ {
			if !chain.Add(w.markers[i], w.offset(i)) {
				w.t.Fatalf("verdict %d does not follow", i)
			}
		}
		for range rapid.IntRange(0, 3).Draw(w.t, "meanwhile") {
			w.step()
		}
		base := w.base
		w.history.Load(w.sum(func(i int, _ *wire.Verdict) bool { return i < base }), w.offset(base), chain)
		// What the live reader had brought and dropped meanwhile must be in it.
		if w.delivered == 0 || !chain.Through().Before(w.offset(w.delivered)) {
			return
		}
		w.history.Unload()
	}
}

func (w *world) restart() {
	w.history.Unload()
	w.noted, w.delivered = valuesets.Markers{}, 0
	w.noted.Anchor(w.offset(len(w.markers)))
}

// step is anything but a question.
func (w *world) step() {
	switch rapid.IntRange(0, 9).Draw(w.t, "step") {
	case 0, 1, 2:
		w.commit()
	case 3, 4:
		w.published = rapid.IntRange(w.published, len(w.markers)).Draw(w.t, "published")
	case 5:
		w.base = rapid.IntRange(w.base, w.published).Draw(w.t, "base")
		w.trimStored()
	case 6:
		w.deliver()
	case 7:
		w.floor = max(w.floor, change.LSN(rapid.IntRange(int(w.floor), int(w.written)+1).Draw(w.t, "floor")))
		w.trimStored()
	case 8:
		if rapid.Bool().Draw(w.t, "condense") {
			w.history.Condense(w.floor, 0)
		}
		w.noted.Trim(w.floor)
		w.history.Trim(w.floor)
	case 9:
		if rapid.Bool().Draw(w.t, "the shape moved") {
			w.noted.Anchor(w.offset(len(w.markers))) // its catching up was not noted
		}
	}
}

// fold makes the base the set where the main loop is.
func (w *world) fold() {
	last, ok := w.noted.UpTo(w.written)
	if !ok || w.history.At(w.written, nil, last) != valuesets.Known {
		return
	}
	w.history.Fold(w.history.View(w.written, nil), w.written)
}

// place draws a place that somebody may stand at, and what it defers;
// below the floor nobody has a right to an answer.
func (w *world) place(least change.LSN) (at change.LSN, deferred []change.LSN) {
	at = change.LSN(rapid.IntRange(int(least), max(int(least), int(w.written))).Draw(w.t, "place"))
	for lsn := least + 1; lsn <= at; lsn++ {
		if rapid.IntRange(0, 5).Draw(w.t, "deferred") == 0 {
			deferred = append(deferred, lsn)
		}
	}
	return at, deferred
}

// ask compares the history's answers about some place, least or further, with the truth, and returns them.
func (w *world) ask(least change.LSN) (view, verdicts valuesets.Answer) {
	at, deferred := w.place(least)
	last, ok := w.noted.UpTo(at)
	if !ok {
		return valuesets.Wait, valuesets.Wait
	}
	if view = w.history.At(at, deferred, last); view == valuesets.Known {
		want := valueset.NewView(w.sum(func(_ int, v *wire.Verdict) bool {
			return v.Offset.LSN <= at && !slices.Contains(deferred, v.Offset.LSN)
		}))
		got := w.history.View(at, deferred)
		for _, key := range []string{"a", "b", "c"} {
			if got.Has([]byte(key)) != want.Has([]byte(key)) {
				w.t.Fatalf("at %d without %v: %s is a member: %t, want %t\n%s", at, deferred, key, got.Has([]byte(key)), want.Has([]byte(key)), w)
			}
		}
	}
	w.askBetween(at, deferred)
	var got []*wire.Verdict
	lsn := max(at, least+1)
	last, _ = w.noted.UpTo(lsn)
	if lsn > w.written {
		return view, valuesets.Known
	}
	if got, verdicts = w.history.On(lsn, last); verdicts == valuesets.Known {
		var want []*wire.Verdict
		for _, v := range w.markers {
			if v.Offset.LSN == lsn {
				want = append(want, v)
			}
		}
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
			w.t.Fatalf("verdicts on %d: %s\n%s", lsn, d, w)
		}
	}
	return view, verdicts
}

// askBetween asks what came up to some marker that the set does not have at a place.
func (w *world) askBetween(at change.LSN, deferred []change.LSN) {
	if len(w.markers) == 0 {
		return
	}
	to := rapid.SampledFrom(w.markers).Draw(w.t, "to").Offset
	got, answer := w.history.Between(at, deferred, to)
	if answer != valuesets.Known {
		return
	}
	var want []*wire.Verdict
	for _, v := range w.markers {
		if !to.Before(v.Offset) && (v.Offset.LSN > at || slices.Contains(deferred, v.Offset.LSN)) {
			want = append(want, v)
		}
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		w.t.Fatalf("between %d without %v and %s: %s\n%s", at, deferred, to, d, w)
	}
}

func (w *world) String() string {
	s := fmt.Sprintf("written %d, published %d, trimmed %d, base behind %d, floor %d, delivered %d; markers:", w.written, w.published, w.trimmed, w.base, w.floor, w.delivered)
	for _, v := range w.markers {
		s += " " + v.Offset.String()
		for key, n := range v.Deltas.All() {
			s += fmt.Sprintf(" %s%+d", key, n)
		}
	}
	return s
}

// deliverAll has the materializer and the live reader come to the log's end.
func (w *world) deliverAll() {
	w.published = len(w.markers)
	for w.delivered = 0; w.delivered < w.published; {
		w.deliver()
	}
}

// answers reports whether a place that somebody may stand at is known.
func (w *world) answers() bool {
	view, verdicts := w.ask(max(w.floor, 1) - 1)
	return view == valuesets.Known && verdicts == valuesets.Known
}
