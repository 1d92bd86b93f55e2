package wire_test

import (
	"fmt"
	"testing"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// benchOps is how many ops of five columns, about 100 bytes, stand in a message: 256 KiB of them.
const benchOps = 2500

func benchRow(i int) change.Row {
	return change.Row{
		fmt.Append(nil, 1000000+i), []byte("a title of some thirty characters"), []byte("open"),
		[]byte("2024-05-06 07:08:09.123456+00"), nil,
	}
}

// perRow reports the time that one row takes, which is what the goals are about, beside that of a message.
func perRow(b *testing.B) {
	b.Helper()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchOps, "ns/row")
}

func BenchmarkEncodeChanges(b *testing.B) {
	head := sampleFragments()[0]
	row, old := benchRow(1), benchRow(2)
	for _, c := range []struct {
		name string
		op   change.Op
	}{
		{"inserts", change.Op{Kind: change.Insert, New: row}},
		{"updates", change.Op{Kind: change.Update, Old: old, New: row}},
	} {
		b.Run(c.name, func(b *testing.B) {
			message, ops := wire.NewChangeBuilder(), wire.NewFragmentBuilder()
			b.ReportAllocs()
			for b.Loop() {
				message.Reset()
				for i := range benchOps {
					c.op.Index = uint64(i) * change.OpStep
					ops.Add(&c.op)
				}
				message.Add(&head, ops)
			}
			b.SetBytes(int64(message.Len()))
			perRow(b)
		})
	}
}

func BenchmarkDecodeChanges(b *testing.B) {
	head := sampleFragments()[0]
	for _, c := range []struct {
		name string
		kind change.Kind
	}{{"inserts", change.Insert}, {"updates", change.Update}} {
		b.Run(c.name, func(b *testing.B) {
			head.Ops = nil
			for i := range benchOps {
				op := change.Op{Index: uint64(i) * change.OpStep, Kind: c.kind, New: benchRow(i)}
				if c.kind == change.Update {
					op.Old = benchRow(i)
				}
				head.Ops = append(head.Ops, op)
			}
			body := encodeChanges(head)
			var d wire.ChangeDecoder
			n := 0
			count := func(f *change.Fragment) error {
				n += len(f.Ops)
				return nil
			}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Decode(body, count); err != nil {
					b.Fatal(err)
				}
			}
			perRow(b)
		})
	}
}

func BenchmarkEncodeLog(b *testing.B) {
	message := wire.NewLogBuilder()
	tx := sampleFragments()[1]
	row, project := benchRow(1), []int{0, 1, 2, 3, 4}
	b.ReportAllocs()
	for b.Loop() {
		message.Reset()
		for i := range benchOps {
			message.Op(&tx, uint64(i)*change.OpStep, change.Insert, row, project)
		}
		message.Commit(&tx)
		message.Finish()
	}
	b.SetBytes(int64(message.Len()))
	perRow(b)
}

func BenchmarkDecodeLog(b *testing.B) {
	message := wire.NewLogBuilder()
	tx := sampleFragments()[1]
	for i := range benchOps {
		message.Op(&tx, uint64(i)*change.OpStep, change.Insert, benchRow(i), []int{0, 1, 2, 3, 4})
	}
	message.Commit(&tx)
	body := message.Finish()
	var d wire.LogDecoder
	n := 0
	count := func(e *wire.Entry) error {
		n += len(e.Ops)
		return nil
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Decode(body, count); err != nil {
			b.Fatal(err)
		}
	}
	perRow(b)
}

func BenchmarkDecodeSegment(b *testing.B) {
	builder := wire.NewSegmentBuilder()
	for i := range benchOps {
		builder.Add(benchRow(i))
	}
	body := builder.Bytes()
	n := 0
	count := func(change.Row) error {
		n++
		return nil
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := wire.DecodeSegment(body, count); err != nil {
			b.Fatal(err)
		}
	}
	perRow(b)
}

func BenchmarkParseTail(b *testing.B) {
	s := sampleTails()[2].String()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.ParseTail(s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTailString(b *testing.B) {
	tail := sampleTails()[2]
	b.ReportAllocs()
	for b.Loop() {
		if tail.String() == "" {
			b.Fatal("empty")
		}
	}
}
