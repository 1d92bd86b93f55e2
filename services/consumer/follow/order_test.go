package follow

import (
	"strings"
	"testing"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// TestALabelWithoutAPlaceEndsWhoAsksForTheOrder: a label that was added to an enum has no place in the order of a clause that was
// compiled before. Clauses that do not ask for the order take the row.
func TestALabelWithoutAPlaceEndsWhoAsksForTheOrder(t *testing.T) {
	const moodOID = 70_000
	logs := shapelog.NewPartition(&shapelog.Config{Builders: shapelog.NewBuilders()}, 0)
	r := NewRouter(nil)
	var rel change.Relation
	for name, where := range map[string]string{"order": "owner < 'glad'", "equal": "owner <> 'glad'"} {
		rec := testRecord(name, where, "id", "owner")
		rec.Table.Relation.Columns[1].Type, rec.Table.Columns[1].Type = moodOID, moodOID
		rec.Table.Columns[1].TypeName, rec.Table.Columns[1].Enum = "mood", []string{"sad", "ok", "glad"}
		f, err := NewFollower(rec, logs.NewLog(name, nil, wire.Tail{Began: true}), nil)
		if err != nil {
			t.Fatal(err)
		}
		rel = rec.Table.Relation
		r.Add(f)
	}
	for i, op := range []change.Op{
		{Kind: change.Insert, New: change.Row{[]byte("1"), []byte("ok"), nil}},
		{Kind: change.Insert, New: change.Row{[]byte("2"), nil, nil}},
		{Kind: change.Update, Old: change.Row{[]byte("1"), []byte("ok"), nil}, New: change.Row{[]byte("1"), []byte("bored"), nil}},
	} {
		f := change.Fragment{
			XID: 1, LSN: change.LSN(i + 1), Relation: rel.Fingerprint(), First: true, Last: true, End: change.OpStep, Tables: []uint32{rel.OID}, Ops: []change.Op{op},
		}
		var ended []string
		err := r.Offer(&rel, &f, 1<<30, nil, func(s *Follower) error {
			ended = append(ended, s.Handle)
			if !strings.Contains(s.Ended, "'bored' in column owner of public.tasks") {
				t.Errorf("it ended with %q", s.Ended)
			}
			r.Remove(s)
			return nil
		})
		if err != nil || (len(ended) == 1) != (i == 2) || len(ended) == 1 && ended[0] != "order" {
			t.Errorf("with change %d: %q ended, %v", i, ended, err)
		}
		for _, s := range r.Take() {
			if s.Handle == "equal" && s.Tail.Rows != 1 {
				t.Errorf("the other has %d rows after change %d", s.Tail.Rows, i)
			}
		}
	}
}
