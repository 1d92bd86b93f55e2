package oracle

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
)

// Reads is what readers of a shape held at its commits, as digests of their rows.
type Reads map[change.Offset]uint64

// digest is that of rows as logcheck gives them, in any order.
func digest(rows map[string]int) (sum uint64) {
	for row, n := range rows {
		sum += uint64(n) * digestOf(row)
	}
	return sum
}

func digestOf(row string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(row)) // it never fails
	return h.Sum64()
}

// watchers read shapes with package client while everything goes on.
type watchers struct {
	ctx    context.Context //nolint:containedctx // that of all of them
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	reads map[string]Reads     // by handle
	last  map[string][]*holder // readers of a handle
	wrong []string
	again int  // positions that were gone
	folds bool // they may go
}

// holder is what a reader of a shape holds.
type holder struct {
	handle string
	mu     sync.Mutex
	rows   map[string][]string // by key
	sum    uint64
	at     change.Offset
	commit bool   // there has been one
	over   string // why there is no more to come
}

func newWatchers(folds bool) *watchers {
	w := &watchers{reads: map[string]Reads{}, last: map[string][]*holder{}, folds: folds}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

func (r *watchers) stop() {
	r.cancel()
	r.wg.Wait()
}

func (r *watchers) fault(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

// held notes what was held at a commit. Two readers must not disagree.
func (r *watchers) held(handle string, at change.Offset, sum uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reads[handle] == nil {
		r.reads[handle] = Reads{}
	}
	if was, ok := r.reads[handle][at]; ok && was != sum {
		r.wrong = append(r.wrong, fmt.Sprintf("two readers of shape %s, or one at two times, held different rows at %s", handle, at))
	}
	r.reads[handle][at] = sum
}

// subscribe reads a shape to the end, with stops, from where it stopped or from
// further back.
func (r *watchers) subscribe(sh *client.Shape, seed uint64) {
	h := &holder{handle: sh.Handle(), rows: map[string][]string{}}
	r.mu.Lock()
	r.last[h.handle] = append(r.last[h.handle], h)
	r.mu.Unlock()
	r.wg.Go(func() {
		rng := rand.New(rand.NewPCG(seed, 7))
		var kept *holder // at an earlier commit
		for r.ctx.Err() == nil {
			if kept != nil && rng.IntN(3) == 0 {
				h.back(kept)
			}
			from := client.Beginning()
			if h.commit {
				from = client.Position{Handle: h.handle, Offset: h.at}
			}
			stop := 1 + rng.IntN([]int{5, 500}[rng.IntN(2)])
			err := r.read(sh, h, from, func() bool {
				if rng.IntN(50) == 0 {
					kept = h.clone()
				}
				stop--
				return stop > 0
			})
			var refetch *client.MustRefetchError
			switch {
			case errors.As(err, &refetch) && refetch.Again && r.folds:
				h.forget()
				kept = nil
				r.mu.Lock()
				r.again++
				r.mu.Unlock()
			case errors.As(err, &refetch):
				h.end(refetch.Reason)
				return
			case err != nil && r.ctx.Err() == nil:
				r.fault("a reader of shape %s ended: %v", h.handle, err)
				h.end(err.Error())
				return
			}
			pause(r.ctx, rng, 300*time.Millisecond)
		}
	})
}

// read takes events until more says no, which is asked at every commit.
func (r *watchers) read(sh *client.Shape, h *holder, from client.Position, more func() bool) error {
	var open []logOp
	snapshot := false
	for ev, err := range sh.Subscribe(from, client.Options{Recheck: time.Second}).Events(r.ctx) {
		if err != nil {
			return err
		}
		switch ev := ev.(type) {
		case client.Begin:
			open, snapshot = open[:0], ev.Snapshot
		case client.Change:
			open = append(open, opOf(ev))
		case client.Abort:
			open = open[:0]
		case client.Commit:
			if snapshot {
				h.forget()
			}
			if err := h.apply(open, ev.Offset); err != nil {
				return fmt.Errorf("at commit %s: %w", ev.Offset, err)
			}
			r.held(h.handle, ev.Offset, h.sum)
			if !more() {
				return nil
			}
		}
	}
	return nil
}

// logOp is an op of a transaction that is being read.
type logOp struct {
	kind     change.Kind
	key, row string
}

func opOf(ev client.Change) logOp {
	op := logOp{kind: ev.Kind}
	var key, row strings.Builder
	hasKey := false
	for i := range ev.Row.Len() {
		hasKey = hasKey || ev.Row.Column(i).Key
	}
	for i := range ev.Row.Len() {
		appendText(&row, ev.Row.At(i))
		if ev.Row.Column(i).Key || !hasKey {
			appendText(&key, ev.Row.At(i))
		}
	}
	op.key, op.row = key.String(), row.String()
	return op
}

// appendText writes a value as package logcheck does.
func appendText(b *strings.Builder, v []byte) {
	if v == nil {
		b.WriteString("NULL,")
		return
	}
	b.WriteString(strconv.Quote(string(v)))
	b.WriteByte(',')
}

// apply applies a transaction.
func (h *holder) apply(ops []logOp, at change.Offset) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, op := range ops {
		have := h.rows[op.key]
		switch op.kind {
		case change.Insert:
			h.rows[op.key] = append(have, op.row)
			h.sum += digestOf(op.row)
		case change.Update, change.Upsert:
			if op.kind == change.Update && len(have) != 1 {
				return fmt.Errorf("update of %s, which is there %d times", op.key, len(have))
			}
			for _, row := range have {
				h.sum -= digestOf(row)
			}
			h.rows[op.key] = []string{op.row}
			h.sum += digestOf(op.row)
		case change.Delete, change.Discard:
			if len(have) == 0 {
				if op.kind == change.Delete {
					return fmt.Errorf("delete of %s, which is not there", op.key)
				}
				continue
			}
			h.sum -= digestOf(have[len(have)-1])
			if h.rows[op.key] = have[:len(have)-1]; len(have) == 1 {
				delete(h.rows, op.key)
			}
		case change.Truncate:
			clear(h.rows)
			h.sum = 0
		}
	}
	h.at, h.commit = at, true
	return nil
}

// forget lets the reader begin again.
func (h *holder) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rows, h.sum, h.at, h.commit = map[string][]string{}, 0, change.Offset{}, false
}

func (h *holder) clone() *holder {
	rows := maps.Clone(h.rows)
	for key := range rows {
		rows[key] = slices.Clone(rows[key])
	}
	return &holder{handle: h.handle, rows: rows, sum: h.sum, at: h.at, commit: h.commit}
}

// back brings the reader to where it was before.
func (h *holder) back(to *holder) {
	c := to.clone()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rows, h.sum, h.at, h.commit = c.rows, c.sum, c.at, c.commit
}

func (h *holder) end(why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = why
}

func (h *holder) stands() (at change.Offset, commit bool, over string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at, h.commit, h.over
}

// view looks at a view of a shape from time to time.
func (r *watchers) view(c *client.Client, def client.Definition, seed uint64) {
	r.wg.Go(func() {
		rng := rand.New(rand.NewPCG(seed, 8))
		for pause(r.ctx, rng, 2*time.Second) {
			v, err := c.Watch(r.ctx, def, client.ViewOptions{Options: client.Options{Recheck: time.Second}})
			if err != nil {
				continue // nobody answers just now, or the table has changed
			}
			for n := rng.IntN(200); n > 0 && r.look(v, rng); n-- {
			}
			v.Close()
		}
	})
}

// look waits for a change of the view and notes its rows.
func (r *watchers) look(v *client.View, rng *rand.Rand) bool {
	changed := v.Changed()
	s, err := v.Snapshot()
	switch {
	case errors.Is(err, client.ErrNotReady):
	case err != nil:
		return false
	default:
		var sum uint64
		for _, row := range s.Rows {
			var b strings.Builder
			for i := range row.Len() {
				appendText(&b, row.At(i))
			}
			sum += digestOf(b.String())
		}
		r.held(s.Position.Handle, s.Position.Offset, sum)
	}
	select {
	case <-changed:
	case <-v.Done():
		return false
	case <-r.ctx.Done():
		return false
	}
	return rng.IntN(4) > 0 || pause(r.ctx, rng, 50*time.Millisecond)
}

// readShape has somebody read a shape from now on.
func (w *world) readShape() {
	w.tb.Helper()
	if len(w.shapes) == 0 || w.watchers == nil || w.readers > 12 {
		return
	}
	w.readers++
	l := w.shapes[w.rng.IntN(len(w.shapes))]
	if w.rng.IntN(3) == 0 && !l.made {
		w.watchers.view(w.client, l.def, w.rng.Uint64())
		return
	}
	w.watchers.subscribe(l.shape, w.rng.Uint64())
}
