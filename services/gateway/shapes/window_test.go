package shapes

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/pkg/change"
)

// A window gives exactly what stands behind a place, or says that it does not reach there.
func TestAWindowGivesWhatStandsBehindAPlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := window{from: change.Offset{LSN: 8}}
		type entry struct {
			at   change.Offset
			text string
		}
		var all []entry
		last, lsn := w.from, uint64(8)
		for range rapid.IntRange(0, 12).Draw(t, "batches") {
			var b batch
			lsn += 8
			for op := range rapid.IntRange(0, 4).Draw(t, "messages") {
				at := change.Offset{LSN: change.LSN(lsn), Op: uint64(op * 2)}
				e := entry{at, fmt.Sprintf("{%s}", at)}
				all = append(all, e)
				if len(b.messages) > 0 {
					b.messages = append(b.messages, ',')
				}
				b.messages = append(b.messages, e.text...)
				b.ends = append(b.ends, len(b.messages))
				b.places = append(b.places, at)
			}
			b.to = change.Offset{LSN: change.LSN(lsn), Op: 100}
			last = b.to
			if rapid.IntRange(0, 9).Draw(t, "kind") == 0 {
				w.skip(b.to)
				continue
			}
			w.add(b, rapid.SampledFrom([]int{300, 600, 1 << 20}).Draw(t, "limit"))
		}
		from := change.Offset{LSN: change.LSN(rapid.Uint64Range(0, lsn+8).Draw(t, "lsn")), Op: rapid.Uint64Range(0, 9).Draw(t, "op")}
		limit := rapid.SampledFrom([]int{20, 1 << 20}).Draw(t, "answer")
		got, ok := w.after(from, limit)
		var want []string
		for _, e := range all {
			if from.Before(e.at) {
				want = append(want, e.text)
			}
		}
		if from.Before(w.from) {
			if ok {
				t.Fatalf("the window begins at %s and gives what stands behind %s", w.from, from)
			}
			return
		}
		if !ok {
			if limit > 1000 {
				t.Fatalf("nothing behind %s", from)
			}
			return
		}
		if string(got.messages) != strings.Join(want, ",") || len(got.ends) != len(want) {
			t.Fatalf("behind %s: %s, want %s", from, got.messages, want)
		}
		for i, end := range got.ends {
			if !strings.HasSuffix(string(got.messages[:end]), want[i]) {
				t.Fatalf("message %d ends at %d of %s", i, end, got.messages)
			}
		}
		if len(want) > 0 && got.to != last {
			t.Fatalf("it ends at %s, want %s", got.to, last)
		}
	})
}
