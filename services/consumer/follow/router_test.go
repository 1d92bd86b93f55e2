package follow

import (
	"testing"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// A shape whose table is not what it was ends, and takes nothing from those that go on.
func TestAFragmentIsOfferedToThoseWhoGoOn(t *testing.T) {
	was, is := testRecord("was", "", "id"), testRecord("is", "", "id")
	is.Table.Relation.Columns = append(is.Table.Relation.Columns, change.Column{Name: "more", Type: textOID, TypeMod: -1})
	logs := shapelog.NewPartition(&shapelog.Config{Builders: shapelog.NewBuilders()}, 0)
	r := NewRouter(nil)
	for _, rec := range []*registry.Shape{was, is} {
		f, err := NewFollower(rec, logs.NewLog(rec.Handle, nil, wire.Tail{Began: true}), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Add(f)
	}
	rel := is.Table.Relation
	f := change.Fragment{
		XID: 1, LSN: 10, Relation: rel.Fingerprint(), First: true, Last: true, End: change.OpStep, Tables: []uint32{rel.OID},
		Ops: []change.Op{{Kind: change.Insert, New: change.Row{[]byte("1"), []byte("2"), []byte("title"), []byte("more")}}},
	}
	var ended []string
	err := r.Offer(&rel, &f, 1<<20, nil, func(s *Follower) error {
		ended = append(ended, s.Handle+": "+s.Ended)
		r.Remove(s)
		return nil
	})
	if err != nil || len(ended) != 1 || ended[0][:5] != "was: " || len(ended[0]) < 10 {
		t.Fatalf("ended %q, error %v", ended, err)
	}
	if got := r.Take(); len(got) != 1 || got[0].Handle != "is" || got[0].Tail.Committed != f.Marker() || got[0].Tail.Rows != 1 {
		t.Errorf("%d shapes have gathered something", len(got))
	}
}

func TestTheRouterCountsWhatNoIndexFinds(t *testing.T) {
	logs := shapelog.NewPartition(&shapelog.Config{Builders: shapelog.NewBuilders()}, 0)
	r := NewRouter(nil)
	var oid uint32
	var shapes []*Follower
	for i, c := range []struct {
		where string
		want  int
	}{{"owner = 7", 0}, {"", 1}, {"title <> 'x'", 2}, {"owner = 8 AND title <> 'x'", 2}} {
		rec := testRecord(string(rune('a'+i)), c.where, "id")
		f, err := NewFollower(rec, logs.NewLog(rec.Handle, nil, wire.Tail{Began: true}), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Add(f)
		shapes, oid = append(shapes, f), f.Relation.OID
		if got := r.Unindexed(oid); got != c.want {
			t.Errorf("with a shape of %q: %d, want %d", c.where, got, c.want)
		}
	}
	for _, f := range shapes {
		r.Remove(f)
	}
	if got := r.Unindexed(oid); got != 0 {
		t.Errorf("of a table without shapes: %d", got)
	}
}
