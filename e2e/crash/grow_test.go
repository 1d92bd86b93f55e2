package crash

import (
	"fmt"
	"testing"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/topology"
)

const (
	partitionsBefore = 2
	partitionsThen   = 8
)

// startToGrow starts services whose source has few partitions, two consumers among them, and traffic.
func (w *world) startToGrow() {
	w.tb.Helper()
	few := fmt.Sprintf("--partitions=%d", partitionsBefore)
	w.startIngest(nil)
	w.startConsumer(nil, few)
	w.spare = w.consumer
	w.startConsumer(nil, few)
	w.create()
	w.traffic.run()
}

// grow runs the command that gives the source more partitions.
func (w *world) grow(death *failpoint.Death) {
	w.tb.Helper()
	p := w.service("source", death, "source", "set", fmt.Sprintf("--partitions=%d", partitionsThen))
	if death != nil {
		p.DiesAt(death.Point)
		return
	}
	<-p.Done()
	if _, err := p.Ended(); err != nil {
		w.tb.Fatalf("shapebus source set: %v: %s", err, p.Log.Tail())
	}
}

// partitions are how many the source has, as a consumer says.
func (w *world) partitions() int {
	w.tb.Helper()
	var n int
	until(w.tb, "a consumer tells the status", func() (bool, error) {
		status, err := w.client.Status(w.tb.Context())
		n = status.Partitions
		return err == nil, err
	})
	return n
}

// askWide asks for shapes until some are in new partitions, and waits until all are live.
func (w *world) askWide() {
	w.tb.Helper()
	until(w.tb, "a consumer knows of the new partitions", func() (bool, error) { return w.partitions() == partitionsThen, nil })
	wide := 0
	for i := 0; wide < 3; i++ {
		w.ask(client.Definition{Table: "items", Where: fmt.Sprintf("kind = %d AND id > %d", i%5, i)})
		if w.shapes[len(w.shapes)-1].Info().Partition >= partitionsBefore {
			wide++
		}
	}
	w.awaitLive()
}

func TestTheGrowthOfASourceDies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		point failpoint.Point
		count int
		has   int // partitions, then
	}{
		{"between two streams", failpoint.StreamMade, 3, partitionsBefore},
		{"before the record", failpoint.BeforeGrown, 1, partitionsBefore},
		{"after the record", failpoint.AfterGrown, 1, partitionsThen},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{})
			w.startToGrow()
			w.grow(failpoint.At(c.point, c.count))
			if c.has == partitionsBefore {
				if n := w.partitions(); n != c.has {
					t.Errorf("the source has %d partitions, want %d", n, c.has)
				}
				w.ask(client.Definition{Table: "items", Where: "kind = 1"})
			}
			w.grow(nil)
			w.grow(nil)
			w.askWide()
			w.traffic.some(20)
			w.verify()
		})
	}
}

// TestAConsumerDiesWhileItTakesNewPartitions: the other one has them all, those that nobody has written yet among them, and the one that comes
// back gets its share.
func TestAConsumerDiesWhileItTakesNewPartitions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.startToGrow()
	w.grow(nil)
	leases, err := registry.OpenHoldings(t.Context(), w.nats.js, w.source, topology.RoleConsumer)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "somebody has a new partition", func() (bool, error) {
		held, err := leases.List(t.Context())
		return len(held) > partitionsBefore, err
	})
	w.consumer.Kill()
	w.askWide()
	w.startConsumer(nil) // with more partitions than the source has, for one that is new
	w.traffic.some(20)
	w.verify()
}
