package group

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// BenchmarkCheckpointOfParkedShapes is what the main loop does every second for each process while
// that many shapes are parked: to list them and to encode the partitions' checkpoints. And what a
// new owner does once: to find where each of them stands.
func BenchmarkCheckpointOfParkedShapes(b *testing.B) {
	const n, partitions = 37_000, 8
	s := outerCrowd(b, n)
	i := 0
	for _, f := range s.Live {
		f.Handle, f.Partition = fmt.Sprintf("%016x-hol%07d", rand.Uint64(), i), i%partitions
		i++
	}
	s.Applied.LSN = 1
	s.gather(s.Downstream([]string{innerHandle}))
	encoded := map[int][]byte{}
	b.Run("write", func(b *testing.B) {
		began := cpuUsed()
		for b.Loop() {
			for p, at := range s.Places() {
				data, err := wire.EncodeCheckpoint(wire.Checkpoint{LSN: 1, Parked: at})
				if err != nil {
					b.Fatal(err)
				}
				encoded[p] = data
			}
		}
		b.ReportMetric(float64((cpuUsed()-began).Milliseconds())/float64(b.N), "cpu-ms")
	})
	b.Run("recover", func(b *testing.B) {
		var handles []string
		for _, at := range s.Places() {
			for _, a := range at {
				handles = append(handles, a.Handles...)
			}
		}
		began := cpuUsed()
		for b.Loop() {
			found := 0
			for _, data := range encoded {
				c, err := wire.DecodeCheckpoint(data)
				if err != nil {
					b.Fatal(err)
				}
				places := shapelog.ParkedIn(&c)
				for _, h := range handles {
					if _, _, ok := shapelog.PlaceOf(&registry.Shape{Handle: h}, false, wire.Tail{}, 1, places); ok {
						found++
					}
				}
			}
			if found != n {
				b.Fatalf("%d of %d shapes have a place", found, n)
			}
		}
		b.ReportMetric(float64((cpuUsed()-began).Milliseconds())/float64(b.N), "cpu-ms")
	})
}
