package follow

import (
	"strings"
	"testing"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// A shape ends with the reason before a row is judged that is too large for its clause, and the others take the row.
func TestAChangeThatIsTooMuchForAClauseEndsItsShapeOnly(t *testing.T) {
	dear := make([]string, 200)
	for i := range dear {
		dear[i] = "title LIKE '%a_" + strings.Repeat("b", i+1) + "'"
	}
	logs := shapelog.NewPartition(&shapelog.Config{Builders: shapelog.NewBuilders()}, 0)
	r := NewRouter(nil)
	for name, where := range map[string]string{"dear": strings.Join(dear, " OR "), "cheap": "title LIKE '%a'"} {
		f, err := NewFollower(testRecord(name, where, "id", "title"), logs.NewLog(name, nil, wire.Tail{Began: true}), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Add(f)
	}
	rel := testTable().Relation
	for lsn, size := range []int{10, 1000, 1 << 20} {
		f := change.Fragment{
			XID: 1, LSN: change.LSN(lsn + 1), Relation: rel.Fingerprint(), First: true, Last: true, End: change.OpStep, Tables: []uint32{rel.OID},
			Ops: []change.Op{{Kind: change.Insert, New: change.Row{[]byte("1"), []byte("2"), []byte(strings.Repeat("a", size))}}},
		}
		var ended []string
		err := r.Offer(&rel, &f, 1<<30, nil, func(s *Follower) error {
			ended = append(ended, s.Handle)
			if !s.Costly || !strings.Contains(s.Ended, "too much work") || !strings.Contains(s.Ended, "public.tasks") {
				t.Errorf("it ended with %q", s.Ended)
			}
			r.Remove(s)
			return nil
		})
		if err != nil || (len(ended) == 1) != (size == 1<<20) || len(ended) == 1 && ended[0] != "dear" {
			t.Errorf("a row of %d bytes: %q ended, %v", size, ended, err)
		}
		for _, s := range r.Take() {
			if s.Handle == "cheap" && s.Tail.Rows != int64(lsn+1) {
				t.Errorf("the other has %d rows after %d", s.Tail.Rows, lsn+1)
			}
		}
	}
}
