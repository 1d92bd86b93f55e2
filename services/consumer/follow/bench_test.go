package follow

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// BenchmarkRoute is the work on one change log message without its I/O: decode,
// route, encode. ns/row is what counts.
func BenchmarkRoute(b *testing.B) {
	const rows = 2000
	rel := testTable().Relation
	ops := wire.NewFragmentBuilder()
	for i := range rows {
		ops.Add(&change.Op{Index: uint64(i) * change.OpStep, Kind: change.Insert, New: change.Row{
			[]byte(strconv.Itoa(i)), []byte(strconv.Itoa(i % 100)), []byte("a title of a length that titles often have"),
		}})
	}
	m := wire.NewChangeBuilder()
	m.Add(&change.Fragment{XID: 1, LSN: 1000, Relation: rel.Fingerprint(), First: true, Last: true, End: rows * change.OpStep, Tables: []uint32{rel.OID}}, ops)
	for _, bb := range []struct {
		name   string
		wheres []string
	}{
		{"no match", []string{"owner = 1000"}},
		{"every row", []string{""}},
		{"one in a hundred", []string{"owner = 7"}},
		{"three shapes", []string{"", "owner < 30", "owner = 7"}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			logs := shapelog.NewPartition(&shapelog.Config{Builders: shapelog.NewBuilders()}, 0)
			r := NewRouter(nil)
			var followers []*Follower
			for i, w := range bb.wheres {
				f, err := NewFollower(testRecord(fmt.Sprint(i), w, "id", "owner", "title"), logs.NewLog(fmt.Sprint(i), nil, wire.Tail{}), nil)
				if err != nil {
					b.Fatal(err)
				}
				r.Add(f)
				followers = append(followers, f)
			}
			var d wire.ChangeDecoder
			b.ReportAllocs()
			for b.Loop() {
				for _, f := range followers {
					f.Tail = wire.Tail{Began: true}
				}
				err := d.Decode(m.Bytes(), func(f *change.Fragment) error {
					_, err := r.Fragment(&rel, f, 1<<30, nil)
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
				for _, f := range r.Take() {
					f.Finish()
					f.Release()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
		})
	}
}
