package valuesets

import (
	"slices"
	"sort"

	"github.com/shapebus/shapebus/internal/valueset"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// Answer says whether a question can be answered.
type Answer int

// The answers. What is not known yet will be, as long as the inner shape lives;
// what is gone was dropped, and only loading the history again can bring it back.
const (
	Wait Answer = iota
	Known
	Gone
)

// History is a value set as a whole at one place, its base, and the verdicts in
// an interval, by which it is known at other places.
type History struct {
	chain Chain
	base  *valueset.Set // nil until it is loaded
	at    change.Offset // the last marker that is in base
}

// Load begins the history with a base, as the set stood behind the marker at, and verdicts.
func (h *History) Load(base *valueset.Set, at change.Offset, verdicts Chain) {
	verdicts.Begin(at)
	*h = History{chain: verdicts, base: base, at: at}
}

// Unload forgets everything.
func (h *History) Unload() { *h = History{} }

// Loaded reports whether there is a base.
func (h *History) Loaded() bool { return h.base != nil }

// Len is how many values the base has.
func (h *History) Len() int {
	if h.base == nil {
		return 0
	}
	return h.base.Len()
}

// Add adds the next verdict, as Chain.Add does.
func (h *History) Add(v *wire.Verdict, after change.Offset) bool { return h.chain.Add(v, after) }

// On returns the verdicts on a commit. last is Markers.UpTo it.
func (h *History) On(lsn change.LSN, last change.Offset) ([]*wire.Verdict, Answer) {
	if last.LSN < lsn {
		return nil, Known // no marker, no verdict
	}
	if a := h.chain.covers(after(lsn-1), h.upTo(lsn, last)); a != Known {
		return nil, a
	}
	return h.chain.on(lsn), Known
}

// Between returns the verdicts up to a marker that View(lsn, deferred) does not have.
func (h *History) Between(lsn change.LSN, deferred []change.LSN, to change.Offset) (out []*wire.Verdict, a Answer) {
	from := lsn
	if len(deferred) > 0 && deferred[0] <= from {
		from = deferred[0] - 1
	}
	if a := h.chain.covers(after(from), to); a != Known {
		return nil, a
	}
	for _, v := range h.chain.verdicts[h.chain.behind(from):] {
		if !to.Before(v.Offset) && (v.Offset.LSN > lsn || slices.Contains(deferred, v.Offset.LSN)) {
			out = append(out, v)
		}
	}
	return out, Known
}

// upTo is how far verdicts are needed that tell all up to a commit: to the marker
// last, or less where verdicts behind the commit have been read.
func (h *History) upTo(lsn change.LSN, last change.Offset) change.Offset {
	if lsn < last.LSN && lsn < h.chain.through.LSN && h.chain.through.Before(last) {
		return h.chain.through
	}
	return last
}

// At says whether the set is known as it stands behind all commits up to lsn but
// those deferred, which are ascending. last is Markers.UpTo(lsn).
func (h *History) At(lsn change.LSN, deferred []change.LSN, last change.Offset) Answer {
	if h.base == nil {
		return Wait
	}
	lo, hi := h.at, h.upTo(lsn, last)
	if !lo.Before(hi) { // the base lacks nothing
		lo, hi = h.at, h.at
	}
	// What the base has and the view must not have is taken back.
	back := lsn
	if len(deferred) > 0 && deferred[0] <= back {
		back = deferred[0] - 1
	}
	if back < h.at.LSN {
		if b := after(back); b.Before(lo) {
			lo = b
		}
	}
	return h.chain.covers(lo, hi)
}

// View returns the set as it stands behind all commits up to lsn but those
// deferred, where At says that it is known.
func (h *History) View(lsn change.LSN, deferred []change.LSN) *valueset.View {
	v := valueset.NewView(h.base)
	for _, verdict := range h.chain.verdicts {
		in := !h.at.Before(verdict.Offset)
		want := verdict.Offset.LSN <= lsn && !slices.Contains(deferred, verdict.Offset.LSN)
		if in == want {
			continue
		}
		sign := int64(1)
		if in {
			sign = -1
		}
		for key, n := range verdict.Deltas.All() {
			v.Add(key, sign*n)
		}
	}
	return v
}

// Fold makes the base equal to a view of it, which is the set behind all commits
// up to lsn. Nobody else may look at the base.
func (h *History) Fold(v *valueset.View, lsn change.LSN) {
	if !v.Of(h.base) {
		return // the history was loaded again since
	}
	v.Fold()
	if n := h.chain.behind(lsn); n > 0 && h.at.Before(h.chain.verdicts[n-1].Offset) {
		h.at = h.chain.verdicts[n-1].Offset
	}
}

// verdictBytes is about what a verdict takes beside its deltas.
const verdictBytes = 200

// Condense takes the verdicts below an LSN into a base of its own, if they weigh more than the values of the one before and than least
// bytes. Fold does not, where somebody looks at the base all the time; views of that stay as they are.
func (h *History) Condense(below change.LSN, least int) {
	if h.base == nil {
		return
	}
	from := sort.Search(len(h.chain.verdicts), func(i int) bool { return h.at.Before(h.chain.verdicts[i].Offset) })
	to := max(from, h.chain.behind(max(below, 1)-1))
	weight := 0
	for _, v := range h.chain.verdicts[from:to] {
		weight += verdictBytes + v.Deltas.Bytes()
	}
	if weight <= max(least, h.base.Bytes()) {
		return
	}
	h.base = h.base.Clone()
	for _, v := range h.chain.verdicts[from:to] {
		for key, n := range v.Deltas.All() {
			h.base.Add(key, n)
		}
	}
	h.at = h.chain.verdicts[to-1].Offset
}

// Trim drops the verdicts below an LSN that are in the base.
func (h *History) Trim(below change.LSN) {
	n := 0
	for n < len(h.chain.verdicts) && h.chain.verdicts[n].Offset.LSN < below && !h.at.Before(h.chain.verdicts[n].Offset) {
		n++
	}
	h.chain.trim(n)
}

// Latest reports whether a verdict on a commit behind lsn has been read.
func (h *History) Latest(lsn change.LSN) bool { return h.chain.through.LSN > lsn }
