package group

import (
	"context"
	"maps"
	"sync/atomic"
	"testing"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/health"
	"github.com/shapebus/shapebus/internal/valueset"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// TestALostPartitionKeepsNoLogBack: a commit is appended to all logs of a stage that can be written, also where the first of them cannot be, and
// the attempt has ended. Else who has a transaction that was deferred would be given it again, behind itself.
func TestALostPartitionKeepsNoLogBack(t *testing.T) {
	here := changelog.Place{LSN: 100, Seq: 10}
	g := apart(t, here, here)
	g.s.Parts = []*live.Partition{{Partition: shapelog.NewPartition(&shapelog.Config{
		Builders: shapelog.NewBuilders(), Source: "apart", Failpoint: failpoint.Never,
		Messages: &atomic.Int64{}, Bytes: &atomic.Int64{}, Wrote: &health.Clock{}, Stored: &health.Clock{},
	}, 0)}}
	g.s.Cfg.PendingBytes = 1 << 20
	st := g.stages[0]
	maps.Copy(st.members, g.stages[1].members)
	g.stages = g.stages[:1]
	stays, lost := st.members["h0"], st.members["h1"]
	lost.Writer = overWriter(t)
	owners := &valueset.Set{}
	owners.Add(valueset.AppendComponent(nil, []byte("1")), 1)
	st.Views = []*valueset.View{valueset.NewView(owners)}
	st.fill()
	st.show()
	rel := &stays.Table.Relation
	insert := func(index uint64, title string) change.Op {
		return change.Op{Kind: change.Insert, Index: index, New: change.Row{[]byte("1"), []byte("1"), []byte(title)}}
	}
	err := st.offer(t.Context(), rel, &change.Fragment{
		XID: 1, LSN: 108, Relation: rel.Fingerprint(), First: true, Last: true, End: 2 * change.OpStep, Tables: []uint32{rel.OID},
		Ops: []change.Op{insert(0, "t1"), insert(change.OpStep, "t0")},
	})
	if err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := st.flush(over); !shapelog.IsLost(err) {
		t.Errorf("what cannot be written is told as %v", err)
	}
	if want := (change.Offset{LSN: 108, Op: 2 * change.OpStep}); stays.Appended.Committed != want || lost.Appended.Committed == want {
		t.Errorf("the log that can be written stands at %s, want %s; the other at %s", stays.Appended.Committed, want, lost.Appended.Committed)
	}
}
