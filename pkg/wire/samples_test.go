package wire_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// show prints a row so that NULL, the empty string and an unchanged value look different.
func show(row change.Row) string {
	if row == nil {
		return "-"
	}
	values := make([]string, len(row))
	for i, v := range row {
		switch {
		case v == nil:
			values[i] = "NULL"
		case change.IsUnchanged(v):
			values[i] = "unchanged"
		default:
			values[i] = fmt.Sprintf("%q", v)
		}
	}
	return "(" + strings.Join(values, ", ") + ")"
}

func showFragment(f *change.Fragment) string {
	var b strings.Builder
	fmt.Fprintf(&b, "xid %d lsn %s at %d of %q first %t last %t group %d end %d tables %v\n",
		f.XID, f.LSN, f.CommitTime, f.Relation, f.First, f.Last, f.Group, f.End, f.Tables)
	for _, op := range f.Ops {
		fmt.Fprintf(&b, "  %d %s key only %t %s → %s\n", op.Index, op.Kind, op.KeyOnly, show(op.Old), show(op.New))
	}
	return b.String()
}

func showEntry(e *wire.Entry) string {
	var b strings.Builder
	fmt.Fprintf(&b, "entry %d xid %d lsn %s at %d last %t end %d segment %d of %d messages %d rows snapshot %q reason %q\n",
		e.Kind, e.XID, e.LSN, e.CommitTime, e.Last, e.End, e.Segment, e.Messages, e.Rows, e.Snapshot, e.Reason)
	for _, op := range e.Ops {
		fmt.Fprintf(&b, "  %d %s %s\n", op.Index, op.Kind, show(op.Row))
	}
	return b.String()
}

func encodeChanges(fragments ...change.Fragment) []byte {
	message, ops := wire.NewChangeBuilder(), wire.NewFragmentBuilder()
	for i := range fragments {
		for j := range fragments[i].Ops {
			ops.Add(&fragments[i].Ops[j])
		}
		message.Add(&fragments[i], ops)
	}
	return bytes.Clone(message.Bytes())
}

func encodeSegment(rows ...change.Row) []byte {
	b := wire.NewSegmentBuilder()
	for _, r := range rows {
		b.Add(r)
	}
	return bytes.Clone(b.Bytes())
}

// must is for encoders that cannot fail on what a test gives them.
func must(data []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return data
}

func text(values ...string) change.Row {
	row := make(change.Row, len(values))
	for i, v := range values {
		row[i] = []byte(v)
	}
	return row
}

func sampleFragments() []change.Fragment {
	return []change.Fragment{
		{
			XID: 747, LSN: 0x16_B374D848, CommitTime: 1700000000123456, Relation: "9e098109716f74da", First: true,
			Ops: []change.Op{
				{Index: 0, Kind: change.Insert, New: text("1", "write tests", "f")},
				{Index: 2, Kind: change.Update, Old: text("1", "write tests", "f"), New: text("1", "write tests", "t")},
				{Index: 4, Kind: change.Update, KeyOnly: true, Old: change.Row{[]byte("1"), nil, nil}, New: change.Row{[]byte("2"), change.Unchanged(), []byte("")}},
				{Index: 6, Kind: change.Update, New: change.Row{[]byte("2"), nil, []byte("t")}},
			},
		},
		{
			XID: 747, LSN: 0x16_B374D848, CommitTime: 1700000000123456, Relation: "9e098109716f74da", Last: true,
			Group: 8, End: 12, Tables: []uint32{16385, 16402},
			Ops: []change.Op{
				{Index: 8, Kind: change.Delete, Old: change.Row{[]byte("2"), []byte(strings.Repeat("long ", 70)), nil}},
				{Index: 10, Kind: change.Truncate},
			},
		},
		{XID: 1<<32 - 1, LSN: 1<<64 - 1, CommitTime: -1, Relation: "", First: true, Last: true, Group: 0, End: 0, Tables: []uint32{1<<32 - 1}},
	}
}

func sampleLog() []byte {
	tx := change.Fragment{XID: 747, LSN: 0x16_B374D848, CommitTime: 1700000000123456}
	b := wire.NewLogBuilder()
	b.Segment(1, 3, 70000, change.Snapshot{Xmin: 745, Xmax: 747, Xip: []change.FullXID{745}, LSN: 0x16_B3740000})
	b.Op(&tx, 0, change.Insert, text("1", "write tests", "f"), []int{2, 0})
	b.Op(&tx, 2, change.Update, change.Row{[]byte("1"), nil, []byte("")}, []int{0, 1, 2})
	b.Op(&tx, 300, change.Delete, text("1", "x", "f"), []int{0})
	b.Op(&tx, 302, change.Truncate, nil, nil)
	tx.Last, tx.End = true, 304
	b.Commit(&tx)
	b.Op(&change.Fragment{XID: 748, LSN: 0x16_B374D900, CommitTime: 1700000000123999}, 0, change.Delete, text("9"), []int{0})
	b.Op(&change.Fragment{XID: 749, LSN: 0x16_B374DA00, CommitTime: 1700000000124999}, 0, change.Delete, text("8"), []int{0})
	b.Commit(&change.Fragment{XID: 749, LSN: 0x16_B374DA00, CommitTime: 1700000000124999, Last: true, End: 2})
	b.Commit(&change.Fragment{XID: 750, LSN: 0x16_B374DB00, CommitTime: -1, Last: true, End: 2})
	b.End("column title of public.tasks was dropped or renamed")
	return bytes.Clone(b.Finish())
}

// sampleUnits is the log of a shape with a subquery: what begins it, a unit that
// is aborted, the unit again, and a transaction that was deferred.
func sampleUnits() []byte {
	b := wire.NewLogBuilder()
	b.Segment(0, 1, 2, change.Snapshot{Xmin: 745, Xmax: 745, LSN: 0x16_B3740000})
	b.Commit(&change.Fragment{LSN: 0x16_B3740100, CommitTime: 1700000000000000, Last: true, End: 0})
	tx := change.Fragment{XID: 747, LSN: 0x16_B374D848, CommitTime: 1700000000123456}
	b.Unit = true
	b.Op(&tx, 0, change.Upsert, text("1", "write tests", "f"), []int{0, 1, 2})
	b.Abort()
	b.Op(&tx, 0, change.Upsert, text("1", "write tests", "f"), []int{0, 1, 2})
	b.Op(&change.Fragment{XID: 749, LSN: 0x16_B374D900, CommitTime: 1700000000123999}, 4, change.Discard, text("2"), []int{0})
	h := change.Fragment{XID: 0, LSN: 0x16_B374DA00, CommitTime: 1700000000124999}
	b.Op(&h, 2, change.Upsert, change.Row{[]byte("3"), nil, []byte("")}, []int{0, 1, 2})
	h.Last, h.End = true, 4
	b.Commit(&h)
	b.Unit = false
	deferred := change.Fragment{XID: 748, LSN: 0x16_B374DA00, CommitTime: 1700000000123777}
	b.Op(&deferred, 6, change.Delete, text("1"), []int{0})
	deferred.Last, deferred.End = true, 8
	b.Commit(&deferred)
	return bytes.Clone(b.Finish())
}

func sampleVerdicts() []*wire.Verdict {
	return []*wire.Verdict{
		{Offset: change.Offset{LSN: 97496905800, Op: 304}, XID: 747, Deltas: wire.DeltasOf(wire.Delta{Key: "\x00", Count: 1}, wire.Delta{Key: "\x03ab", Count: -70000})},
		{Offset: change.Offset{LSN: 1}, XID: 1<<32 - 1, Unit: true},
	}
}

func sampleBase() wire.Base {
	return wire.Base{Number: 3, Messages: 2, Values: 70000, LSN: 97496905800, Op: 304, At: 1700000000123456}
}

func sampleGeneration() *wire.Generation {
	return &wire.Generation{
		Number: 2, Segment: 1700000000000001, Messages: 3, Rows: 70000, Size: 600000, Snapshot: "745:749:747", SnapshotLSN: 97496905000, Besides: []uint64{97496900000},
		LSN: 97496905800, Op: 304, Bytes: 5000000, Through: 5000613, Previous: 1690000000000001, At: 1700000000123456,
	}
}

func sampleRelation() *change.Relation {
	return &change.Relation{
		OID: 16385, Schema: "public", Name: "tasks", Identity: change.IdentityFull,
		Columns: []change.Column{
			{Name: "id", Type: 20, TypeMod: -1},
			{Name: "tïtle", Type: 1043, TypeMod: 24},
			{Name: "done", Type: 16, TypeMod: -1},
		},
	}
}

func sampleTails() []wire.Tail {
	return []wire.Tail{
		{},
		{Began: true, Rows: 70000, CommittedRows: 70000},
		{
			Last: change.Offset{LSN: 97496905800, Op: 300}, Committed: change.Offset{LSN: 97496900000, Op: 8}, Began: true,
			Rows: 70001, CommittedRows: 70000, Bytes: 1 << 40,
		},
		{Last: change.Offset{LSN: 97496905800, Op: 304}, Committed: change.Offset{LSN: 97496905800, Op: 304}, Began: true, Ended: true, Bytes: 99},
		{
			Last: change.Offset{LSN: 97496905800, Op: 304}, Committed: change.Offset{LSN: 97496905800, Op: 304}, Began: true,
			Rows: -1, CommittedRows: -1, Bytes: 613, Deferred: wire.FormatDeferred([]change.LSN{97496900000, 97496900008}),
		},
	}
}

// form is one stored form with an example of it.
type form struct {
	name string
	body []byte
}

func forms() []form {
	return []form{
		{"change", encodeChanges(sampleFragments()...)},
		{"log", sampleLog()},
		{"segment", encodeSegment(text("1", "write tests", "f"), change.Row{[]byte("2"), nil, []byte("")}, slices.Repeat(change.Row{nil}, 20), change.Row{})},
		{"control_barrier", must(wire.EncodeControl(wire.Control{Kind: wire.ControlBarrier, LSN: 97496905800, Payload: "snapshot 7"}))},
		{"control_relation", must(wire.EncodeControl(wire.Control{
			Kind: wire.ControlRelation, LSN: 97496905800, OID: 16385, Relation: "9e098109716f74da", Reason: "column due was added to public.tasks",
		}))},
		{"control_reset", must(wire.EncodeControl(wire.Control{Kind: wire.ControlReset, LSN: 1, Reason: "the slot was lost"}))},
		{"relation", must(wire.EncodeRelation(sampleRelation()))},
		{"checkpoint", must(wire.EncodeCheckpoint(wire.Checkpoint{LSN: 97496905800, Seq: 7000000000, FloorLSN: 97496900000, FloorSeq: 300, At: 1700000000123456}))},
		{"checkpoint_parked", must(wire.EncodeCheckpoint(wire.Checkpoint{LSN: 97496905800, Seq: 7, At: 1, Parked: []wire.ParkedAt{
			{LSN: 97496900000, Handles: []string{"537a3e845a2479ab-hoe9dyycgv"}}, {LSN: 97496905000, Handles: []string{"a-1", "b-2"}},
		}}))},
		{"log_units", sampleUnits()},
		{"verdict", wire.EncodeVerdict(sampleVerdicts()[0])},
		{"verdict_none", wire.EncodeVerdict(sampleVerdicts()[1])},
		{"basevalues", wire.EncodeBaseValues(sampleVerdicts()[0].Deltas)},
		{"base", must(wire.EncodeBase(sampleBase()))},
		{"generation", must(wire.EncodeGeneration(sampleGeneration()))},
	}
}
