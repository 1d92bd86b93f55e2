package materializer

import (
	"runtime"
	"strconv"
	"testing"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// BenchmarkMillionValues says what a value costs on the heap, and to load.
func BenchmarkMillionValues(b *testing.B) {
	const n = 1_000_000
	for name, column := range map[string]int{"key": 0, "other column": 1} {
		b.Run(name, func(b *testing.B) {
			l := mustLayout(b, []int{column}, false, "a")
			for b.Loop() {
				before := heap()
				r := newReplica(l)
				row := make(change.Row, 3)
				_, err := r.Entry(&wire.Entry{Kind: wire.EntrySegment}, func(_ *wire.Entry, load func(change.Row) error) error {
					var id, other []byte
					for i := range n {
						id, other = strconv.AppendInt(id[:0], int64(i+1), 10), strconv.AppendInt(other[:0], int64(i+n), 10)
						row[0], row[1] = id, other
						if err := load(row); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil || r.values.Len() != n {
					b.Fatal(r.values.Len(), err)
				}
				b.ReportMetric(float64(heap()-before)/n, "heap-B/value")
				runtime.KeepAlive(r)
			}
		})
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
