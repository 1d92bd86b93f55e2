package shapes

import (
	"slices"
	"sort"

	"github.com/shapebus/shapebus/pkg/change"
)

// batch is what became visible to clients at once: whole transactions.
type batch struct {
	to       change.Offset // of its last commit marker
	messages []byte
	ends     []int
	places   []change.Offset
	xids     []change.XID
}

func (b *batch) size() int {
	return len(b.messages) + len(b.ends)*8 + len(b.places)*16 + len(b.xids)*4 + 128
}

// window is the end of a shape's log as far as it is held. It knows everything behind from.
type window struct {
	from    change.Offset
	batches []batch
	size    int
}

// add puts a batch at the end, and forgets what is over the limit at the beginning.
func (w *window) add(b batch, limit int) {
	w.batches = append(w.batches, b)
	w.size += b.size()
	drop := 0
	for w.size > limit && drop < len(w.batches) {
		w.size -= w.batches[drop].size()
		w.from = w.batches[drop].to
		drop++
	}
	w.batches = slices.Delete(w.batches, 0, drop)
}

// skip notes that the log goes on to a place without the window.
func (w *window) skip(to change.Offset) { *w = window{from: to} }

// after returns what stands behind a place, or false if the window does not reach back to it, or if that is as much as
// limit or more.
func (w *window) after(from change.Offset, limit int) (batch, bool) {
	if from.Before(w.from) {
		return batch{}, false
	}
	first := sort.Search(len(w.batches), func(i int) bool { return from.Before(w.batches[i].to) })
	size := 0
	for i := first; i < len(w.batches); i++ {
		size += len(w.batches[i].messages) + 1
	}
	if size >= limit {
		return batch{}, false
	}
	out := batch{messages: make([]byte, 0, size)}
	for i := first; i < len(w.batches); i++ {
		b := &w.batches[i]
		skip := sort.Search(len(b.places), func(n int) bool { return from.Before(b.places[n]) })
		start := 0
		if skip > 0 && skip <= len(b.ends) {
			start = min(b.ends[skip-1]+1, len(b.messages)) // the comma
		}
		if start < len(b.messages) {
			if len(out.messages) > 0 {
				out.messages = append(out.messages, ',')
			}
			base := len(out.messages) - start
			out.messages = append(out.messages, b.messages[start:]...)
			for _, end := range b.ends[skip:] {
				out.ends = append(out.ends, base+end)
			}
		}
		if len(out.xids) < maxXIDs {
			out.xids = append(out.xids, b.xids...)
		}
		out.to = b.to
	}
	return out, true
}
