package shapelog

import (
	"bytes"
	"fmt"
	"maps"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// history is a log of random transactions that put values under keys, in random messages.
type history struct {
	txns     []txn
	messages []message
}

type txn struct {
	xid    change.XID
	lsn    change.LSN
	puts   map[string]string
	unseen bool // by the snapshot
}

type message struct {
	before, after int64
	data          []byte
}

func drawHistory(t *rapid.T) *history {
	h := &history{}
	n := rapid.IntRange(1, 12).Draw(t, "transactions")
	b := wire.NewLogBuilder()
	size := int64(100)
	send := func() {
		if data := bytes.Clone(b.Finish()); len(data) > 0 {
			h.messages = append(h.messages, message{size, size + int64(len(data)), data})
			size += int64(len(data))
		}
		b.Reset()
	}
	for i := range n {
		x := txn{xid: change.XID(100 + i), lsn: change.LSN(1000 + 10*i), puts: map[string]string{}}
		f := &change.Fragment{XID: x.xid, LSN: x.lsn}
		for j := range rapid.IntRange(1, 3).Draw(t, "puts") {
			key := strconv.Itoa(rapid.IntRange(0, 4).Draw(t, "key"))
			x.puts[key] = fmt.Sprint(i, j)
			b.Op(f, uint64(2*j), change.Upsert, change.Row{[]byte(key), []byte(x.puts[key])}, []int{0, 1})
			if rapid.IntRange(0, 4).Draw(t, "cut") == 0 {
				send()
			}
		}
		f.Last, f.End = true, 6
		b.Commit(f)
		if rapid.Bool().Draw(t, "send") {
			send()
		}
		h.txns = append(h.txns, x)
	}
	send()
	return h
}

// TestAWindowCompletesASnapshot looks through random logs on top of snapshots that miss some of what committed before them, and
// reads what the generation says as a reader does: it is the shape at the marker.
func TestAWindowCompletesASnapshot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		last := len(h.txns) - 1
		// Up to at the snapshot might see all, and sees what does not write behind somebody whom it does not see.
		at := rapid.IntRange(0, len(h.txns)).Draw(t, "snapshot")
		marker := rapid.IntRange(max(at-1, 0), last).Draw(t, "marker")
		held := change.Snapshot{Xmin: 100, Xmax: change.FullXID(200 + at), LSN: change.LSN(1000 + 10*at - 5)}
		start := held.LSN
		blocked := map[string]bool{}
		rows, want := map[string]string{}, map[string]string{}
		for i := range h.txns {
			x := &h.txns[i]
			x.unseen = i >= at || rapid.IntRange(0, 3).Draw(t, "late") == 0
			for key := range x.puts {
				x.unseen = x.unseen || blocked[key]
			}
			if x.unseen {
				held.Xip = append(held.Xip, change.FullXID(x.xid))
				for key := range x.puts {
					blocked[key] = true
				}
				start = min(start, x.lsn)
			} else {
				maps.Copy(rows, x.puts)
			}
			if i <= marker {
				maps.Copy(want, x.puts)
			}
		}
		start -= change.LSN(10 * rapid.IntRange(0, 3).Draw(t, "earlier"))
		offset := change.Offset{LSN: h.txns[marker].lsn, Op: 6}

		w := NewWindow(held, offset)
		var d wire.LogDecoder
		for _, m := range h.messages {
			lastLSN := change.LSN(0)
			_ = d.Decode(m.data, func(e *wire.Entry) error { lastLSN = e.LSN; return nil })
			if lastLSN < start || w.Done() {
				continue
			}
			w.Begin(m.before)
			if err := d.Decode(m.data, func(e *wire.Entry) error { w.Entry(e, m.before, m.after); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		g := &wire.Generation{}
		w.Generation(g, h.messages[len(h.messages)-1].after)
		if g.Offset() != offset || g.Bytes > g.Through {
			t.Fatalf("%+v, want the marker %s", g, offset)
		}
		met := g.Bytes == g.Through
		for _, m := range h.messages {
			if m.before < g.Bytes || m.before >= g.Through {
				continue
			}
			_ = d.Decode(m.data, func(e *wire.Entry) error {
				if met || g.Holds(e.LSN) {
					met = met || e.Last && e.LSN == offset.LSN
					return nil
				}
				for _, op := range e.Ops {
					rows[string(op.Row[0])] = string(op.Row[1])
				}
				met = e.Last && e.LSN == offset.LSN
				return nil
			})
		}
		if !met || !maps.Equal(rows, want) {
			t.Fatalf("generation %+v of snapshot %s at %s: %v, want %v (marker met: %t)", g, held, held.LSN, rows, want, met)
		}
		// What stands behind the marker stands behind what has been read, or in the message that holds the marker.
		for _, m := range h.messages {
			_ = d.Decode(m.data, func(e *wire.Entry) error {
				if e.LSN > offset.LSN && m.before < g.Bytes {
					t.Fatalf("generation %+v leaves out %s, which is behind its marker", g, e.LSN)
				}
				return nil
			})
		}
	})
}
