package crash

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/e2e/proc"
)

// In a cluster with three copies of each stream the server dies that leads the change log, in a large transaction. NATS elects
// another leader in 4 to 9 s; the limit is for slow machines, and below what it took before writers looked at their streams.
func TestTheLeaderOfAStreamDiesInALargeTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{natsServers: 3})
	const copies = "--replicas=3"
	w.startIngest(nil, copies)
	w.startConsumer(nil, copies, "--partitions=2")
	w.create()
	w.traffic.run()
	w.traffic.some(20)
	before := w.changes().LastSeq
	w.bigTransaction()
	w.awaitChanges(before + 20 + w.rng.Uint64N(60))
	w.killLeader(w.source.ChangeStream())
	w.traffic.some(20)
	w.verify()
}

// killLeader kills the server that leads a stream, and says how long it took from there until all that was committed then is
// in the shapes' logs.
func (w *world) killLeader(stream string) {
	w.tb.Helper()
	n := w.cluster.leader(stream)
	if err := n.Kill(); err != nil {
		w.tb.Fatal(err)
	}
	w.tb.Logf("%s was killed, which led %s", n.Name, stream)
	began := time.Now()
	w.settle()
	took := time.Since(began)
	w.tb.Logf("all is in the shapes' logs after %s", took.Round(time.Millisecond))
	if most := 90 * time.Second; took > most {
		w.tb.Errorf("it took %s, want at most %s", took, most)
	}
}

// natsCluster is NATS servers that keep a copy of each stream.
type natsCluster struct {
	*proc.Cluster

	tb testing.TB
	js jetstream.JetStream
}

// startCluster starts a cluster and waits until it works.
func startCluster(tb testing.TB, servers int) (*natsCluster, *nats.Conn) {
	tb.Helper()
	c := &natsCluster{tb: tb}
	var err error
	c.Cluster, err = proc.NewCluster(tb.Context(), tb.TempDir(), servers, func(o proc.Options) (*proc.Process, error) {
		return proc.Spawn(tb, o).Process, nil
	})
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		tb.Fatal(err)
	}
	c.ready()
	nc, err := nats.Connect(c.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	if c.js, err = jetstream.New(nc); err != nil {
		tb.Fatal(err)
	}
	return c, nc
}

func (c *natsCluster) ready() {
	c.tb.Helper()
	until(c.tb, "the cluster works", func() (bool, error) {
		err := c.Ready(c.tb.Context())
		return err == nil, err
	})
}

// leader is the server that leads a stream.
func (c *natsCluster) leader(stream string) (n *proc.Node) {
	c.tb.Helper()
	until(c.tb, "stream "+stream+" has a leader", func() (_ bool, err error) {
		n, _, err = c.Leader(c.tb.Context(), c.js, stream)
		return err == nil, err
	})
	return n
}
