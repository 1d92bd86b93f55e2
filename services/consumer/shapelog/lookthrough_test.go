package shapelog

import (
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// A copy that lags answers the batch, and one that does not has answered the seek; or of the batch only its end comes.
func TestWhatALogHoldsBehindASnapshotIsNotPassedOver(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs JetStream; not in -short")
	}
	nc, plain := natstest.Conn(t)
	source := topology.Source("test")
	if err := source.EnsureShapeLogs(t.Context(), plain, 1, topology.ShapeLogConfig{}); err != nil {
		t.Fatal(err)
	}
	subject := source.LogSubject(0, "h")
	// Three transactions; the snapshot sees the first.
	tail := wire.Tail{Began: true}
	for i := range 3 {
		f := &change.Fragment{XID: change.XID(100 + i), LSN: change.LSN(1000 + 10*i)}
		b := wire.NewLogBuilder()
		b.Op(f, 0, change.Insert, change.Row{[]byte("1")}, []int{0})
		f.Last, f.End = true, 2
		b.Commit(f)
		data := b.Finish()
		tail.Bytes += int64(len(data))
		tail.Last, tail.Committed = f.Marker(), f.Marker()
		m := &nats.Msg{Subject: subject, Header: stream.Header(topology.HeaderTail, tail.String()), Data: data}
		if _, err := plain.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	held := change.Snapshot{Xmin: 101, Xmax: 101, LSN: 1005}
	var want wire.Generation
	if err := NewPartition(&Config{NATS: nc, JS: plain, Source: source}, 0).LookThrough(t.Context(), "h", 1005, held, tail, &want); err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]nats.Header{
		"a copy that lags":   {"Status": {"404"}, "Description": {"Message Not Found"}},
		"only the end comes": {"Status": {"204"}, "Description": {"EOB"}, "Nats-Num-Pending": {"0"}, "Nats-Last-Sequence": {"3"}},
	} {
		t.Run(name, func(t *testing.T) {
			prefix := strings.ReplaceAll(name, " ", "")
			var once sync.Once
			sub, err := nc.Subscribe(prefix+".>", func(m *nats.Msg) {
				first := false
				if strings.Contains(string(m.Data), `"batch"`) {
					once.Do(func() { first = true })
				}
				if first {
					_ = nc.PublishMsg(&nats.Msg{Subject: m.Reply, Header: answer})
					return
				}
				_ = nc.PublishRequest("$JS.API"+strings.TrimPrefix(m.Subject, prefix), m.Reply, m.Data)
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = sub.Unsubscribe() }()
			js, err := jetstream.NewWithAPIPrefix(nc, prefix)
			if err != nil {
				t.Fatal(err)
			}
			var g wire.Generation
			// It fails, and the fold with it, which is tried again; or it is right.
			err = NewPartition(&Config{NATS: nc, JS: js, Source: source}, 0).LookThrough(t.Context(), "h", 1005, held, tail, &g)
			if err == nil && (g.Bytes != want.Bytes || g.Through != want.Through) {
				t.Errorf("the generation says: read from %d to %d, and is to say from %d to %d", g.Bytes, g.Through, want.Bytes, want.Through)
			}
		})
	}
}
