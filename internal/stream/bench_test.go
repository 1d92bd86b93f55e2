package stream_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/natsembed"
)

// BenchmarkReader reads a stream from its beginning to its end, and opens a reader for one message.
func BenchmarkReader(b *testing.B) {
	for _, size := range []int{100, 4 << 10, 200 << 10} {
		n := min(50_000, (64<<20)/size)
		bench := newBench(b, natsembed.Options{}, jetstream.StreamConfig{})
		bench.fill(0, n, size)
		read := func(n int) {
			r, err := stream.OpenReader(b.Context(), bench.js, "S", 1)
			ok(b, err)
			for range n {
				_, err := r.Next(b.Context())
				ok(b, err)
			}
			r.Close()
		}
		b.Run(fmt.Sprintf("%d bytes", size), func(b *testing.B) {
			b.SetBytes(int64(n * size))
			for b.Loop() {
				read(n)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/message")
		})
		b.Run(fmt.Sprintf("one of %d bytes", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				read(1)
			}
		})
	}
}
