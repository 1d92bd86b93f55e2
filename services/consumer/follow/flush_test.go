package follow

import (
	"errors"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// TestWhoCannotGoOnIsToldThoughTheFlushFails: what is asked for again later is not offered to it any more.
func TestWhoCannotGoOnIsToldThoughTheFlushFails(t *testing.T) {
	logs := shapelog.NewPartition(&shapelog.Config{Builders: shapelog.NewBuilders()}, 0)
	r := NewRouter(nil)
	for _, name := range []string{"few", "all"} {
		f, err := NewFollower(testRecord(name, "", "id", "title"), logs.NewLog(name, nil, wire.Tail{Began: true}), nil)
		if err != nil {
			t.Fatal(err)
		}
		if name == "few" {
			f.MostRows = 1
		}
		r.Add(f)
	}
	rel := testTable().Relation
	ins := func(id string) change.Op {
		return change.Op{Kind: change.Insert, New: change.Row{[]byte(id), []byte("2"), []byte(strings.Repeat("a", 100))}}
	}
	frag := func(lsn change.LSN) *change.Fragment {
		return &change.Fragment{
			XID: 1, LSN: lsn, Relation: rel.Fingerprint(), First: true, Last: true, End: 3 * change.OpStep, Tables: []uint32{rel.OID},
			Ops: []change.Op{ins("1"), func() change.Op { o := ins("2"); o.Index = change.OpStep; return o }()},
		}
	}
	// It is interrupted while the second row is appended.
	n := 0
	ended, err := r.Fragment(&rel, frag(10), 0, func() error {
		if n++; n == 2 {
			return errors.New("interrupted")
		}
		return nil
	})
	if err == nil || len(ended) != 1 || ended[0].Handle != "few" {
		t.Errorf("%d have to end, %v", len(ended), err)
	}
}
