package wire_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// Any program can read what is stored: a generic decoder sees a sequence of values, and since every value is written in
// its shortest form, a generic encoder that does the same gives the same bytes back.
func TestGenericReadersReadWhatWeWrite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := encodeChanges(rapid.SliceOfN(fragments(), 1, 3).Draw(t, "fragments")...)
		values, err := generic(body)
		if err != nil {
			t.Fatalf("%x: %v", body, err)
		}
		var again bytes.Buffer
		e := msgpack.NewEncoder(&again)
		e.UseCompactInts(true)
		for _, v := range values {
			if err := e.Encode(v); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(again.Bytes(), body) {
			t.Fatalf("read and written again by a generic library:\n%x\nbefore:\n%x", again.Bytes(), body)
		}
	})
	for _, f := range forms() {
		if _, err := generic(f.body); err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
	}
}

func generic(body []byte) (values []any, err error) {
	r := bytes.NewReader(body)
	d := msgpack.NewDecoder(r)
	for r.Len() > 0 {
		v, err := d.DecodeInterface()
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}

// Any program can write what we read, whatever its library makes of numbers.
func TestWeReadWhatGenericWritersWrite(t *testing.T) {
	// number gives v one of the types that a program might hold it in.
	number := func(t *rapid.T, v uint64) any {
		switch rapid.IntRange(0, 3).Draw(t, "type of number") {
		case 1:
			if v <= 1<<32-1 {
				return uint32(v)
			}
		case 2:
			if v <= 1<<63-1 {
				return int64(v)
			}
		case 3:
			if v <= 1<<15-1 {
				return int16(v)
			}
		}
		return v
	}
	tree := func(row change.Row) any {
		if row == nil {
			return nil
		}
		values := make([]any, len(row))
		for i, v := range row {
			switch {
			case v == nil:
			case change.IsUnchanged(v):
				values[i] = false
			default:
				values[i] = string(v)
			}
		}
		return values
	}
	rapid.Check(t, func(t *rapid.T) {
		f := fragments().Draw(t, "fragment")
		tables, ops, logOps := []any{}, []any{}, []any{}
		for _, oid := range f.Tables {
			tables = append(tables, number(t, uint64(oid)))
		}
		entry := wire.Entry{
			Kind: rapid.SampledFrom([]wire.EntryKind{wire.EntryOps, wire.EntryUnit}).Draw(t, "kind"),
			XID:  f.XID, LSN: f.LSN, CommitTime: f.CommitTime, Last: f.Last, End: f.End,
		}
		for _, op := range f.Ops {
			ops = append(ops, []any{number(t, op.Index), number(t, uint64(op.Kind)), op.KeyOnly, tree(op.Old), tree(op.New)})
			logOps = append(logOps, []any{number(t, op.Index), number(t, uint64(op.Kind)), tree(op.New)})
			entry.Ops = append(entry.Ops, wire.LogOp{Index: op.Index, Kind: op.Kind, Row: op.New})
		}
		flags := uint64(0)
		if f.First {
			flags |= 1
		}
		if f.Last {
			flags |= 2
		}
		xid, lsn, end := number(t, uint64(f.XID)), number(t, uint64(f.LSN)), number(t, f.End)
		var body, log bytes.Buffer
		for _, w := range []struct {
			to    *bytes.Buffer
			value any
		}{
			{&body, number(t, wire.Version)},
			{&body, []any{xid, lsn, f.CommitTime, f.Relation, number(t, flags), number(t, f.Group), end, tables, ops}},
			{&log, number(t, wire.Version)},
			{&log, []any{number(t, uint64(entry.Kind)), xid, lsn, f.CommitTime, f.Last, end, logOps}},
		} {
			if err := msgpack.NewEncoder(w.to).Encode(w.value); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := decodeChanges(t, body.Bytes()), showFragment(&f); got != want {
			t.Fatalf("got\n%swant\n%s", got, want)
		}
		if got, want := decodeLog(t, log.Bytes()), showEntry(&entry); got != want {
			t.Fatalf("got\n%swant\n%s", got, want)
		}
		var verdict bytes.Buffer
		e := msgpack.NewEncoder(&verdict)
		deltas := []any{[]any{f.Relation, number(t, 3)}, []any{"", -5}}
		for _, v := range []any{number(t, wire.Version), []any{lsn, end, xid, f.Last, deltas}} {
			if err := e.Encode(v); err != nil {
				t.Fatal(err)
			}
		}
		want := wire.Verdict{Offset: f.Marker(), XID: f.XID, Unit: f.Last, Deltas: wire.DeltasOf(wire.Delta{Key: f.Relation, Count: 3}, wire.Delta{Count: -5})}
		if got, err := wire.DecodeVerdict(verdict.Bytes()); err != nil || !cmp.Equal(*got, want) {
			t.Fatalf("got %+v, %v, want %+v", got, err, want)
		}
	})
}
