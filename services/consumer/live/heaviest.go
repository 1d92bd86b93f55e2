package live

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

const (
	// heavyKept is how many shapes a window counts. Who has many parts in heavyKept of all is among them.
	heavyKept = 256
	// heavyLooked is of how many of them the one that has least makes room for another.
	heavyLooked = 16
	// heavyFor is how long a window counts before another one begins.
	heavyFor = time.Minute
)

// Share is what a shape has of something.
type Share struct {
	Handle string
	Amount float64
}

// Heaviest finds the shapes that have most of something, of any number of shapes in bounded memory: of the present minute and
// the one before. The zero value is ready; safe for concurrent use.
type Heaviest struct {
	mu          sync.Mutex
	now, before heavy
	began       time.Time // now
	since       time.Time // before; zero without one
}

// heavy counts by "space saving": a shape that comes when there is no more room takes the place of the one that has least,
// and its amount as what it may have had. Not all are looked at for that but the next few of them: of those most have little,
// if there are any that have much.
type heavy struct {
	of    map[string]int // places in items
	items []heavyItem
	look  int // the first of the next few
	total float64
}

type heavyItem struct {
	Share

	over float64 // how much of the amount may be others'
}

func (h *heavy) add(handle string, amount float64) {
	h.total += amount
	if h.of == nil {
		h.of = map[string]int{}
	}
	at, ok := h.of[handle]
	switch {
	case ok:
	case len(h.items) < heavyKept:
		at = len(h.items)
		h.items = append(h.items, heavyItem{Share: Share{Handle: handle}})
		h.of[handle] = at
	default:
		at = h.look
		for i := h.look; i < h.look+heavyLooked; i++ {
			if h.items[i].Amount < h.items[at].Amount {
				at = i
			}
		}
		h.look = (h.look + heavyLooked) % heavyKept
		least := &h.items[at]
		delete(h.of, least.Handle)
		least.Handle, least.over = handle, least.Amount
		h.of[handle] = at
	}
	h.items[at].Amount += amount
}

// Add adds to what a shape has.
func (h *Heaviest) Add(handle string, amount float64, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.turn(now)
	h.now.add(handle, amount)
}

// turn begins another window if it is time.
func (h *Heaviest) turn(now time.Time) {
	switch age := now.Sub(h.began); {
	case h.began.IsZero():
		h.began = now
	case age >= 2*heavyFor: // nothing has come for long
		h.now, h.before, h.began, h.since = heavy{}, heavy{}, now, time.Time{}
	case age >= heavyFor:
		h.before, h.since = h.now, h.began
		h.now, h.began = heavy{}, now
	}
}

// Top returns the shapes that have most, at most n, with what each has for sure, what all shapes have together, and over which
// time.
func (h *Heaviest) Top(n int, now time.Time) (top []Share, total float64, over time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.turn(now)
	sums := map[string]float64{}
	for _, w := range []*heavy{&h.now, &h.before} {
		total += w.total
		for _, i := range w.items {
			sums[i.Handle] += i.Amount - i.over
		}
	}
	for handle, amount := range sums {
		if amount > 0 {
			top = append(top, Share{handle, amount})
		}
	}
	over = now.Sub(h.began)
	if !h.since.IsZero() {
		over = now.Sub(h.since)
	}
	return Most(top, n), total, over
}

// Most are the n largest shares, the largest first.
func Most(shares []Share, n int) []Share {
	slices.SortFunc(shares, func(a, b Share) int { return cmp.Or(cmp.Compare(b.Amount, a.Amount), cmp.Compare(a.Handle, b.Handle)) })
	return shares[:min(n, len(shares))]
}
