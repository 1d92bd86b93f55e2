package ingest

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shapebus/shapebus/pkg/change"
)

func text(values ...string) change.Row {
	r := make(change.Row, len(values))
	for i, v := range values {
		r[i] = []byte(v)
	}
	return r
}

func TestDecode(t *testing.T) {
	rel := &change.Relation{
		OID: 16385, Schema: "public", Name: "we\"ird \u00e4", Identity: change.IdentityFull,
		Columns: []change.Column{{Name: "id", Type: 23, TypeMod: -1}, {Name: "name", Type: 1043, TypeMod: 14}},
	}
	const long = 70_000
	type result struct {
		Kind          kind
		XID           change.XID
		LSN, End      change.LSN
		Time          int64
		Relation      *change.Relation
		OID           uint32
		Op            change.Op
		Truncated     []uint32
		Transactional bool
		MessageLSN    change.LSN
		Prefix        string
		Payload       string
	}
	for _, c := range []struct {
		name string
		data []byte
		want result
	}{
		{"a begin tells xid, commit LSN and time", msgBegin(728, 0x1924AC0, 1795343025540693), result{Kind: kindBegin, XID: 728, LSN: 0x1924AC0, Time: 1795343025540693}},
		{"a commit tells where it ends", msgCommit(5, 9, 0), result{Kind: kindCommit, LSN: 5, End: 9}},
		{"a relation keeps hostile names and type modifiers", msgRelation(rel), result{Kind: kindRelation, Relation: rel}},
		{"an insert has a new row", msgRow(7, &change.Op{Kind: change.Insert, New: text("1", "x")}), result{Kind: kindInsert, OID: 7, Op: change.Op{Kind: change.Insert, New: text("1", "x")}}},
		{
			"NULL is nil and the empty string is not", msgRow(7, &change.Op{Kind: change.Insert, New: change.Row{nil, {}}}),
			result{Kind: kindInsert, OID: 7, Op: change.Op{Kind: change.Insert, New: change.Row{nil, {}}}},
		},
		{
			"an update by an unchanged key has no old row", msgRow(7, &change.Op{Kind: change.Update, New: text("1", "y")}),
			result{Kind: kindUpdate, OID: 7, Op: change.Op{Kind: change.Update, New: text("1", "y")}},
		},
		{
			"an update of the key has the old key only",
			msgRow(7, &change.Op{Kind: change.Update, KeyOnly: true, Old: change.Row{[]byte("1"), nil}, New: text("2", "y")}),
			result{Kind: kindUpdate, OID: 7, Op: change.Op{Kind: change.Update, KeyOnly: true, Old: change.Row{[]byte("1"), nil}, New: text("2", "y")}},
		},
		{
			"an unchanged value comes from a full old row",
			msgRow(7, &change.Op{Kind: change.Update, Old: text("1", strings.Repeat("x", long)), New: change.Row{[]byte("1"), change.Unchanged()}}),
			result{Kind: kindUpdate, OID: 7, Op: change.Op{Kind: change.Update, Old: text("1", strings.Repeat("x", long)), New: text("1", strings.Repeat("x", long))}},
		},
		{
			"an unchanged value that is NULL in the old row is NULL",
			msgRow(7, &change.Op{Kind: change.Update, Old: change.Row{[]byte("1"), nil}, New: change.Row{[]byte("1"), change.Unchanged()}}),
			result{Kind: kindUpdate, OID: 7, Op: change.Op{Kind: change.Update, Old: change.Row{[]byte("1"), nil}, New: change.Row{[]byte("1"), nil}}},
		},
		{
			"a delete has the old key", msgRow(7, &change.Op{Kind: change.Delete, KeyOnly: true, Old: change.Row{[]byte("1"), nil}}),
			result{Kind: kindDelete, OID: 7, Op: change.Op{Kind: change.Delete, KeyOnly: true, Old: change.Row{[]byte("1"), nil}}},
		},
		{
			"a delete with a full identity has the old row", msgRow(7, &change.Op{Kind: change.Delete, Old: text("1", "y")}),
			result{Kind: kindDelete, OID: 7, Op: change.Op{Kind: change.Delete, Old: text("1", "y")}},
		},
		{"a truncate names several tables", msgTruncate(3, 1, 2), result{Kind: kindTruncate, Truncated: []uint32{3, 1, 2}}},
		{
			"a logical message tells its prefix and payload", msgLogical(true, 77, "shapebus", "a\x00b"),
			result{Kind: kindMessage, Transactional: true, MessageLSN: 77, Prefix: "shapebus", Payload: "a\x00b"},
		},
		{"an origin is passed over", append([]byte{'O', 0, 0, 0, 0, 0, 0, 0, 0}, "x\x00"...), result{Kind: kindOrigin}},
		{"a type is passed over", append([]byte{'Y', 0, 0, 0, 0}, "public\x00mood\x00"...), result{Kind: kindType}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d decoder
			k, err := d.decode(c.data)
			if err != nil {
				t.Fatal(err)
			}
			got := result{
				Kind: k, XID: d.xid, LSN: d.commitLSN, End: d.endLSN, Time: d.commitTime, Relation: d.relation, OID: d.oid, Op: d.op,
				Truncated: d.truncated, Transactional: d.transactional, MessageLSN: d.messageLSN, Prefix: string(d.prefix), Payload: string(d.payload),
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			for i := range c.data {
				if k == kindOrigin || k == kindType {
					break
				}
				if _, err := d.decode(c.data[:i]); !errors.Is(err, errProtocol) {
					t.Fatalf("cut at byte %d of %d: error %v", i, len(c.data), err)
				}
			}
		})
	}
	t.Run("without an old row an unchanged value is marked", func(t *testing.T) {
		var d decoder
		if _, err := d.decode(msgRow(7, &change.Op{Kind: change.Update, New: change.Row{[]byte("1"), change.Unchanged()}})); err != nil {
			t.Fatal(err)
		}
		if !change.IsUnchanged(d.op.New[1]) {
			t.Errorf("got %q", d.op.New[1])
		}
	})
	t.Run("decoding a row allocates nothing", func(t *testing.T) {
		var d decoder
		data := msgRow(7, &change.Op{Kind: change.Update, Old: text("1", "x", "y"), New: text("1", "x", "z")})
		if n := testing.AllocsPerRun(100, func() { _, _ = d.decode(data) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
	t.Run("bytes that a Postgres 15 sent are read", func(t *testing.T) {
		data, err := hex.DecodeString("490000400" + "14e000274000000013174000000036f6e65")
		if err != nil {
			t.Fatal(err)
		}
		var d decoder
		if _, err := d.decode(data); err != nil {
			t.Fatal(err)
		}
		if d.oid != 16385 || string(d.op.New[1]) != "one" {
			t.Errorf("table %d, row %q", d.oid, d.op.New)
		}
	})
}

func FuzzDecode(f *testing.F) {
	rel := &change.Relation{OID: 1, Schema: "s", Name: "t", Columns: []change.Column{{Name: "c", Type: 23, TypeMod: -1}}}
	for _, seed := range [][]byte{
		msgBegin(1, 2, 3), msgCommit(1, 2, 3), msgRelation(rel), msgTruncate(1, 2), msgLogical(true, 1, "p", "x"),
		msgRow(1, &change.Op{Kind: change.Update, Old: text("1", "2"), New: change.Row{nil, change.Unchanged()}}),
		msgRow(1, &change.Op{Kind: change.Delete, KeyOnly: true, Old: text("1")}),
		{'I', 0, 0, 0, 1, 'N', 255, 255, 't', 255, 255, 255, 255},
		{'T', 255, 255, 255, 255, 0},
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var d decoder
		k, err := d.decode(data)
		if err != nil {
			if !errors.Is(err, errProtocol) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		switch k {
		case kindInsert, kindUpdate, kindDelete:
			// What was decoded means the same when it is sent again.
			op := d.op
			op.Old, op.New = copyRow(op.Old), copyRow(op.New)
			again := msgRow(d.oid, &op)
			if _, err := d.decode(again); err != nil {
				t.Fatalf("decoded once, not twice: %v", err)
			}
			if diff := cmp.Diff(op, d.op); diff != "" {
				t.Fatal(diff)
			}
		case kindRelation:
			if cap(d.relation.Columns) > 2*len(data)+8 {
				t.Fatalf("%d columns from %d bytes", cap(d.relation.Columns), len(data))
			}
		default:
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	var d decoder
	data := msgRow(7, &change.Op{Kind: change.Insert, New: text("123456", "246912", "some text of the row 123456", "2026-11-22 10:36:33.123456+00", "185184.0")})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.decode(data); err != nil {
			b.Fatal(err)
		}
	}
}
