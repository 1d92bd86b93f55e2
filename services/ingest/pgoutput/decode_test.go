package pgoutput

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
		Kind          Kind
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
		{"a begin tells xid, commit LSN and time", msgBegin(728, 0x1924AC0, 1795343025540693), result{Kind: KindBegin, XID: 728, LSN: 0x1924AC0, Time: 1795343025540693}},
		{"a commit tells where it ends", msgCommit(5, 9, 0), result{Kind: KindCommit, LSN: 5, End: 9}},
		{"a relation keeps hostile names and type modifiers", msgRelation(rel), result{Kind: KindRelation, Relation: rel}},
		{"an insert has a new row", msgRow(7, &change.Op{Kind: change.Insert, New: text("1", "x")}), result{Kind: KindInsert, OID: 7, Op: change.Op{Kind: change.Insert, New: text("1", "x")}}},
		{
			"NULL is nil and the empty string is not", msgRow(7, &change.Op{Kind: change.Insert, New: change.Row{nil, {}}}),
			result{Kind: KindInsert, OID: 7, Op: change.Op{Kind: change.Insert, New: change.Row{nil, {}}}},
		},
		{
			"an update by an unchanged key has no old row", msgRow(7, &change.Op{Kind: change.Update, New: text("1", "y")}),
			result{Kind: KindUpdate, OID: 7, Op: change.Op{Kind: change.Update, New: text("1", "y")}},
		},
		{
			"an update of the key has the old key only",
			msgRow(7, &change.Op{Kind: change.Update, KeyOnly: true, Old: change.Row{[]byte("1"), nil}, New: text("2", "y")}),
			result{Kind: KindUpdate, OID: 7, Op: change.Op{Kind: change.Update, KeyOnly: true, Old: change.Row{[]byte("1"), nil}, New: text("2", "y")}},
		},
		{
			"an unchanged value comes from a full old row",
			msgRow(7, &change.Op{Kind: change.Update, Old: text("1", strings.Repeat("x", long)), New: change.Row{[]byte("1"), change.Unchanged()}}),
			result{Kind: KindUpdate, OID: 7, Op: change.Op{Kind: change.Update, Old: text("1", strings.Repeat("x", long)), New: text("1", strings.Repeat("x", long))}},
		},
		{
			"an unchanged value that is NULL in the old row is NULL",
			msgRow(7, &change.Op{Kind: change.Update, Old: change.Row{[]byte("1"), nil}, New: change.Row{[]byte("1"), change.Unchanged()}}),
			result{Kind: KindUpdate, OID: 7, Op: change.Op{Kind: change.Update, Old: change.Row{[]byte("1"), nil}, New: change.Row{[]byte("1"), nil}}},
		},
		{
			"a delete has the old key", msgRow(7, &change.Op{Kind: change.Delete, KeyOnly: true, Old: change.Row{[]byte("1"), nil}}),
			result{Kind: KindDelete, OID: 7, Op: change.Op{Kind: change.Delete, KeyOnly: true, Old: change.Row{[]byte("1"), nil}}},
		},
		{
			"a delete with a full identity has the old row", msgRow(7, &change.Op{Kind: change.Delete, Old: text("1", "y")}),
			result{Kind: KindDelete, OID: 7, Op: change.Op{Kind: change.Delete, Old: text("1", "y")}},
		},
		{"a truncate names several tables", msgTruncate(3, 1, 2), result{Kind: KindTruncate, Truncated: []uint32{3, 1, 2}}},
		{
			"a logical message tells its prefix and payload", msgLogical(true, 77, "shapebus", "a\x00b"),
			result{Kind: KindMessage, Transactional: true, MessageLSN: 77, Prefix: "shapebus", Payload: "a\x00b"},
		},
		{"an origin is passed over", append([]byte{'O', 0, 0, 0, 0, 0, 0, 0, 0}, "x\x00"...), result{Kind: KindOrigin}},
		{"a type is passed over", append([]byte{'Y', 0, 0, 0, 0}, "public\x00mood\x00"...), result{Kind: KindType}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d Decoder
			k, err := d.Decode(c.data)
			if err != nil {
				t.Fatal(err)
			}
			got := result{
				Kind: k, XID: d.XID, LSN: d.CommitLSN, End: d.EndLSN, Time: d.CommitTime, Relation: d.Relation, OID: d.OID, Op: d.Op,
				Truncated: d.Truncated, Transactional: d.Transactional, MessageLSN: d.MessageLSN, Prefix: string(d.Prefix), Payload: string(d.Payload),
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			for i := range c.data {
				if k == KindOrigin || k == KindType {
					break
				}
				if _, err := d.Decode(c.data[:i]); !errors.Is(err, ErrProtocol) {
					t.Fatalf("cut at byte %d of %d: error %v", i, len(c.data), err)
				}
			}
		})
	}
	t.Run("without an old row an unchanged value is marked", func(t *testing.T) {
		var d Decoder
		if _, err := d.Decode(msgRow(7, &change.Op{Kind: change.Update, New: change.Row{[]byte("1"), change.Unchanged()}})); err != nil {
			t.Fatal(err)
		}
		if !change.IsUnchanged(d.Op.New[1]) {
			t.Errorf("got %q", d.Op.New[1])
		}
	})
	t.Run("decoding a row allocates nothing", func(t *testing.T) {
		var d Decoder
		data := msgRow(7, &change.Op{Kind: change.Update, Old: text("1", "x", "y"), New: text("1", "x", "z")})
		if n := testing.AllocsPerRun(100, func() { _, _ = d.Decode(data) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
	t.Run("bytes that a Postgres 15 sent are read", func(t *testing.T) {
		data, err := hex.DecodeString("490000400" + "14e000274000000013174000000036f6e65")
		if err != nil {
			t.Fatal(err)
		}
		var d Decoder
		if _, err := d.Decode(data); err != nil {
			t.Fatal(err)
		}
		if d.OID != 16385 || string(d.Op.New[1]) != "one" {
			t.Errorf("table %d, row %q", d.OID, d.Op.New)
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
		var d Decoder
		k, err := d.Decode(data)
		if err != nil {
			if !errors.Is(err, ErrProtocol) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		switch k {
		case KindInsert, KindUpdate, KindDelete:
			// What was decoded means the same when it is sent again.
			op := d.Op
			op.Old, op.New = cloneRow(op.Old), cloneRow(op.New)
			again := msgRow(d.OID, &op)
			if _, err := d.Decode(again); err != nil {
				t.Fatalf("decoded once, not twice: %v", err)
			}
			if diff := cmp.Diff(op, d.Op); diff != "" {
				t.Fatal(diff)
			}
		case KindRelation:
			if cap(d.Relation.Columns) > 2*len(data)+8 {
				t.Fatalf("%d columns from %d bytes", cap(d.Relation.Columns), len(data))
			}
		default:
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	var d Decoder
	data := msgRow(7, &change.Op{Kind: change.Insert, New: text("123456", "246912", "some text of the row 123456", "2026-11-22 10:36:33.123456+00", "185184.0")})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}

// cloneRow copies a row out of the decoder's memory. An empty value stays one and does not become NULL.
func cloneRow(r change.Row) change.Row {
	if r == nil {
		return nil
	}
	c := make(change.Row, len(r))
	for i, v := range r {
		if v != nil && !change.IsUnchanged(v) {
			v = append([]byte{}, v...)
		}
		c[i] = v
	}
	return c
}
