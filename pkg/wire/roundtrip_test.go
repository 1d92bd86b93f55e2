package wire_test

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// tb is what *testing.T and *rapid.T have in common.
type tb interface {
	Helper()
	Fatalf(format string, args ...any)
}

func decodeChanges(t tb, body []byte) string {
	t.Helper()
	var d wire.ChangeDecoder
	var b strings.Builder
	if err := d.Decode(body, func(f *change.Fragment) error {
		b.WriteString(showFragment(f))
		return nil
	}); err != nil {
		t.Fatalf("decode %x: %v", body, err)
	}
	return b.String()
}

func decodeLog(t tb, body []byte) string {
	t.Helper()
	var d wire.LogDecoder
	var b strings.Builder
	if err := d.Decode(body, func(e *wire.Entry) error {
		b.WriteString(showEntry(e))
		return nil
	}); err != nil {
		t.Fatalf("decode %x: %v", body, err)
	}
	return b.String()
}

// numbers draws integers of every encoded length.
func numbers() *rapid.Generator[uint64] {
	return rapid.Custom(func(t *rapid.T) uint64 {
		bits := rapid.SampledFrom([]int{0, 1, 7, 8, 15, 16, 31, 32, 63, 64}).Draw(t, "bits")
		return 1<<bits - uint64(rapid.IntRange(0, 2).Draw(t, "below"))
	})
}

func values() *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		switch rapid.IntRange(0, 30).Draw(t, "sort of value") {
		case 0:
			return nil
		case 1:
			return change.Unchanged()
		case 2:
			return []byte{}
		case 3: // around the lengths at which the encoding changes
			n := rapid.SampledFrom([]int{31, 32, 255, 256, 31, 32, 255, 256, 65535, 65536}).Draw(t, "length")
			return bytes.Repeat([]byte("x"), n)
		}
		return rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "value")
	})
}

// rows draws rows that are there; a row that is not is nil.
func rows() *rapid.Generator[change.Row] {
	return rapid.Custom(func(t *rapid.T) change.Row {
		row := change.Row{}
		return append(row, rapid.SliceOfN(values(), 0, 18).Draw(t, "row")...)
	})
}

func maybeRow() *rapid.Generator[change.Row] {
	return rapid.OneOf(rapid.Just(change.Row(nil)), rows())
}

func fragments() *rapid.Generator[change.Fragment] {
	op := rapid.Custom(func(t *rapid.T) change.Op {
		return change.Op{
			Index: numbers().Draw(t, "index"), Kind: change.Kind(rapid.IntRange(1, 4).Draw(t, "kind")),
			KeyOnly: rapid.Bool().Draw(t, "key only"), Old: maybeRow().Draw(t, "old"), New: maybeRow().Draw(t, "new"),
		}
	})
	return rapid.Custom(func(t *rapid.T) change.Fragment {
		return change.Fragment{
			XID: change.XID(numbers().Draw(t, "xid")), LSN: change.LSN(numbers().Draw(t, "lsn")),
			CommitTime: int64(numbers().Draw(t, "time")), Relation: rapid.StringN(0, 40, -1).Draw(t, "relation"),
			First: rapid.Bool().Draw(t, "first"), Last: rapid.Bool().Draw(t, "last"),
			Group: numbers().Draw(t, "group"), End: numbers().Draw(t, "end"),
			Tables: rapid.SliceOfN(rapid.Uint32(), 0, 17).Draw(t, "tables"),
			Ops:    rapid.SliceOfN(op, 0, 17).Draw(t, "ops"),
		}
	})
}

func TestChangesReadAsTheyWereWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(fragments(), 1, 4).Draw(t, "fragments")
		var want strings.Builder
		for i := range all {
			want.WriteString(showFragment(&all[i]))
		}
		if got := decodeChanges(t, encodeChanges(all...)); got != want.String() {
			t.Fatalf("got\n%swant\n%s", got, want.String())
		}
	})
}

func TestChangeBuilderCountsWhatItHolds(t *testing.T) {
	message, ops := wire.NewChangeBuilder(), wire.NewFragmentBuilder()
	for round := range 3 { // builders are used again and again
		sample := sampleFragments()[0]
		size := ops.Len()
		for i := range sample.Ops {
			ops.Add(&sample.Ops[i])
			if ops.Ops() != i+1 || ops.Len() <= size {
				t.Fatalf("round %d: %d ops of %d bytes after %d", round, ops.Ops(), ops.Len(), i+1)
			}
			size = ops.Len()
		}
		message.Add(&sample, ops)
		if ops.Ops() != 0 || ops.Len() != 0 {
			t.Errorf("round %d: the ops are still there after they were added", round)
		}
		if message.Len() != len(message.Bytes()) || !bytes.Equal(message.Bytes(), encodeChanges(sample)) {
			t.Errorf("round %d: %d bytes: %x", round, message.Len(), message.Bytes())
		}
		message.Reset()
		if message.Len() != 0 {
			t.Errorf("round %d: the message is not empty after Reset", round)
		}
	}
}

// A log message is written by calls, so the model is a list of calls and the entries they stand for.
func TestLogsReadAsTheyWereWritten(t *testing.T) {
	b := wire.NewLogBuilder() // one for all runs: Reset must leave nothing behind
	rapid.Check(t, func(t *rapid.T) {
		b.Reset()
		var want []wire.Entry
		open := false // the last entry takes more ops
		kind := wire.EntryOps
		tx := change.Fragment{LSN: 1}
		entry := func() *wire.Entry {
			if !open {
				want = append(want, wire.Entry{Kind: kind, XID: tx.XID, LSN: tx.LSN, CommitTime: tx.CommitTime})
				open = true
			}
			return &want[len(want)-1]
		}
		t.Repeat(map[string]func(*rapid.T){
			"next transaction": func(t *rapid.T) {
				tx = change.Fragment{
					XID: change.XID(numbers().Draw(t, "xid")), LSN: tx.LSN + change.LSN(rapid.Uint64Range(1, 1<<40).Draw(t, "distance")),
					CommitTime: int64(numbers().Draw(t, "time")),
				}
				open = false
			},
			"op": func(t *rapid.T) {
				op := wire.LogOp{Index: numbers().Draw(t, "index"), Kind: change.Kind(rapid.IntRange(1, 6).Draw(t, "kind"))}
				row := maybeRow().Draw(t, "row")
				var project []int
				if len(row) > 0 {
					project = rapid.SliceOfN(rapid.IntRange(0, len(row)-1), 0, 17).Draw(t, "project")
				}
				if row != nil {
					op.Row = change.Row{}
				}
				for _, c := range project {
					op.Row = append(op.Row, row[c])
				}
				b.Op(&tx, op.Index, op.Kind, row, project)
				entry().Ops = append(entry().Ops, op)
			},
			"commit": func(t *rapid.T) {
				f := tx
				f.Last, f.End = true, numbers().Draw(t, "end")
				b.Commit(&f)
				e := entry()
				e.Last, e.End = true, f.End
				open = false
			},
			"segment": func(t *rapid.T) {
				n := numbers().Draw(t, "n")
				snap := change.Snapshot{Xmin: change.FullXID(n), Xmax: change.FullXID(n) + 2, Xip: []change.FullXID{change.FullXID(n)}, LSN: change.LSN(n)}
				b.Segment(n, n+1, n+2, snap)
				want = append(want, wire.Entry{Kind: wire.EntrySegment, Segment: n, Messages: n + 1, Rows: n + 2, Snapshot: snap.String(), LSN: snap.LSN})
				open = false
			},
			"unit": func(t *rapid.T) {
				if open {
					t.Skip("between entries only")
				}
				b.Unit, kind = !b.Unit, wire.EntryOps
				if b.Unit {
					kind = wire.EntryUnit
				}
			},
			"abort": func(*rapid.T) {
				b.Abort()
				want = append(want, wire.Entry{Kind: wire.EntryAbort})
				open = false
			},
			"end": func(t *rapid.T) {
				reason := rapid.String().Draw(t, "reason")
				b.End(reason)
				want = append(want, wire.Entry{Kind: wire.EntryEnd, Reason: reason})
				open = false
			},
		})
		if len(want) == 0 {
			return
		}
		var text strings.Builder
		for i := range want {
			text.WriteString(showEntry(&want[i]))
		}
		if got := decodeLog(t, b.Finish()); got != text.String() {
			t.Fatalf("got\n%swant\n%s", got, text.String())
		}
	})
}

func TestSegmentsReadAsTheyWereWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rows(), 1, 20).Draw(t, "rows")
		b := wire.NewSegmentBuilder()
		for i, r := range all {
			b.Add(r)
			if b.Rows() != i+1 || b.Len() != len(b.Bytes()) {
				t.Fatalf("%d rows of %d bytes after %d", b.Rows(), b.Len(), i+1)
			}
		}
		i := 0
		if err := wire.DecodeSegment(b.Bytes(), func(r change.Row) error {
			if got, want := show(r), show(all[i]); got != want {
				t.Fatalf("row %d reads as %s, want %s", i, got, want)
			}
			i++
			return nil
		}); err != nil || i != len(all) {
			t.Fatalf("%d rows of %d, %v", i, len(all), err)
		}
		if b.Reset(); b.Rows() != 0 || b.Len() != 0 {
			t.Fatalf("not empty after Reset")
		}
	})
}

func TestControlEntriesReadAsTheyWereWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := wire.Control{
			Kind: rapid.SampledFrom([]wire.ControlKind{wire.ControlBarrier, wire.ControlRelation, wire.ControlReset}).Draw(t, "kind"),
			LSN:  numbers().Draw(t, "lsn"), Payload: rapid.String().Draw(t, "payload"), OID: rapid.Uint32().Draw(t, "oid"),
			Relation: rapid.String().Draw(t, "relation"), Reason: rapid.String().Draw(t, "reason"),
		}
		data, err := wire.EncodeControl(want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := wire.DecodeControl(data); err != nil || got != want {
			t.Fatalf("%+v reads as %+v, %v", want, got, err)
		}
	})
}

func TestCheckpointsReadAsTheyWereWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := wire.Checkpoint{
			LSN: numbers().Draw(t, "lsn"), Seq: numbers().Draw(t, "seq"), FloorLSN: numbers().Draw(t, "floor lsn"),
			FloorSeq: numbers().Draw(t, "floor seq"), At: int64(numbers().Draw(t, "at")),
		}
		for range rapid.IntRange(0, 2).Draw(t, "parked") {
			// Of the usual form, nearly of it, and of none; those of the usual form come back first.
			handles := rapid.SliceOfN(rapid.StringMatching(`[0-9a-f]{16}-[1-9a-z][0-9a-z]{0,10}`), 0, 3).Draw(t, "usual")
			handles = append(handles, rapid.SliceOfN(rapid.StringMatching(`[0-9a-f]{16}-0[0-9a-z]{1,3}|[0-9A-F]{15}A-1|[a-c]|[0-9a-f]{16}-?`), 1, 3).Draw(t, "others")...)
			want.Parked = append(want.Parked, wire.ParkedAt{LSN: numbers().Draw(t, "place"), Handles: handles})
		}
		data, err := wire.EncodeCheckpoint(want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := wire.DecodeCheckpoint(data); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v reads as %+v, %v", want, got, err)
		}
	})
}

// Before handles were packed, a place named them as they are.
func TestCheckpointsWithHandlesInFullAreRead(t *testing.T) {
	parked := []any{map[string]any{"lsn": 7, "aside": "5", "handles": []string{"537a3e845a2479ab-hoe9dyycgv", "b-2"}}}
	body, err := msgpack.Marshal(map[string]any{"lsn": 9, "parked": parked})
	if err != nil {
		t.Fatal(err)
	}
	want := wire.Checkpoint{LSN: 9, Parked: []wire.ParkedAt{{LSN: 7, Deferred: "5", Handles: []string{"537a3e845a2479ab-hoe9dyycgv", "b-2"}}}}
	if got, err := wire.DecodeCheckpoint(append([]byte{wire.Version}, body...)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestVerdictsReadAsTheyWereWritten(t *testing.T) {
	delta := rapid.Custom(func(t *rapid.T) wire.Delta {
		return wire.Delta{Key: string(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "key")), Count: rapid.Int64().Draw(t, "count")}
	})
	rapid.Check(t, func(t *rapid.T) {
		few := rapid.SliceOfN(delta, 0, 20).Draw(t, "deltas")
		want := &wire.Verdict{
			Offset: change.Offset{LSN: change.LSN(numbers().Draw(t, "lsn")), Op: numbers().Draw(t, "op")},
			XID:    change.XID(numbers().Draw(t, "xid")), Unit: rapid.Bool().Draw(t, "unit"), Deltas: wire.DeltasOf(few...),
		}
		if got, err := wire.DecodeVerdict(wire.EncodeVerdict(want)); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v reads as %+v, %v", want, got, err)
		}
		if got, err := wire.DecodeBaseValues(wire.EncodeBaseValues(want.Deltas)); err != nil || !got.Equal(want.Deltas) {
			t.Fatalf("%+v reads as %+v, %v", want.Deltas, got, err)
		}
		var read []wire.Delta
		for key, count := range want.Deltas.All() {
			read = append(read, wire.Delta{Key: string(key), Count: count})
		}
		if !slices.Equal(read, few) || want.Deltas.Len() != len(few) {
			t.Fatalf("%+v reads as %+v", few, read)
		}
		if len(few) > 0 {
			few[rapid.IntRange(0, len(few)-1).Draw(t, "other")].Count++
			if want.Deltas.Equal(wire.DeltasOf(few...)) {
				t.Fatalf("%+v equals %+v", want.Deltas, few)
			}
		}
	})
}

func TestBasesReadAsTheyWereWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := wire.Base{
			Number: numbers().Draw(t, "number"), Messages: numbers().Draw(t, "messages"), Values: numbers().Draw(t, "values"),
			LSN: numbers().Draw(t, "lsn"), Op: numbers().Draw(t, "op"), At: int64(numbers().Draw(t, "at")),
		}
		data, err := wire.EncodeBase(want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := wire.DecodeBase(data); err != nil || got != want {
			t.Fatalf("%+v reads as %+v, %v", want, got, err)
		}
	})
}

func TestRelationsReadAsTheyWereWritten(t *testing.T) {
	column := rapid.Custom(func(t *rapid.T) change.Column {
		return change.Column{Name: rapid.String().Draw(t, "name"), Type: rapid.Uint32().Draw(t, "type"), TypeMod: rapid.Int32().Draw(t, "mod")}
	})
	rapid.Check(t, func(t *rapid.T) {
		want := &change.Relation{
			OID: rapid.Uint32().Draw(t, "oid"), Schema: rapid.String().Draw(t, "schema"), Name: rapid.String().Draw(t, "name"),
			Identity: rapid.SampledFrom([]change.Identity{
				change.IdentityDefault, change.IdentityFull, change.IdentityIndex, change.IdentityNothing,
			}).Draw(t, "identity"),
			Columns: rapid.SliceOfN(column, 0, 20).Draw(t, "columns"),
		}
		data, err := wire.EncodeRelation(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := wire.DecodeRelation(data)
		if err != nil || got.Fingerprint() != want.Fingerprint() {
			t.Fatalf("%+v reads as %+v, %v", want, got, err)
		}
	})
}
