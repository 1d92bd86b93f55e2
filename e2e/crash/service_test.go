package crash

import (
	"testing"

	"github.com/shapebus/shapebus/internal/failpoint"
)

func TestIngestDiesAndEveryLogContinues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		point failpoint.Point
	}{
		{"between two fragments of a transaction", failpoint.BetweenFragments},
		{"after publishing, before JetStream answers", failpoint.AfterPublish},
		{"after JetStream has answered", failpoint.AfterAck},
		{"before it confirms to Postgres", failpoint.BeforeConfirm},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{})
			w.start()
			w.traffic.run()

			w.ingest.Stop()
			w.startIngest(failpoint.At(c.point, 1+w.rng.IntN(20)), "--fragment-ops", "2")
			w.ingest.DiesAt(c.point)
			w.startIngest(nil)
			w.traffic.some(20)

			count := 20 + w.rng.IntN(80)
			if c.point == failpoint.BeforeConfirm { // the small transactions before the large one are confirmed while that is on its way
				count = 1
			}
			w.killInBig("ingest", c.point, count)
			w.verify()
		})
	}
}

func TestConsumerDiesAndEveryLogContinues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		point      failpoint.Point
		small, big int // bounds of the count
	}{
		{"after a fragment", failpoint.AfterFragment, 20, 100},
		{"after an append, before a checkpoint", failpoint.AfterAppend, 40, 100},
		{"between the checkpoints of two partitions", failpoint.BeforeCheckpoint, 40, 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{})
			w.start()
			w.traffic.run()

			w.consumer.Stop()
			w.startConsumer(failpoint.At(c.point, 1+w.rng.IntN(c.small)))
			w.consumer.DiesAt(c.point)
			w.startConsumer(nil)
			w.traffic.some(20)

			w.killInBig("consumer", c.point, 1+w.rng.IntN(c.big))
			w.verify()
		})
	}
}

// killInBig has a service die in the middle of a large transaction, and starts
// it again with other fragment sizes while small transactions go on.
func (w *world) killInBig(service string, point failpoint.Point, count int) {
	w.tb.Helper()
	w.traffic.stop()
	w.settle()
	victim, start := &w.ingest, func(death *failpoint.Death) { w.startIngest(death) }
	if service == "consumer" {
		victim, start = &w.consumer, func(death *failpoint.Death) { w.startConsumer(death) }
	}
	(*victim).Stop()
	before := w.tail(0)
	w.traffic.run()
	w.traffic.some(5)
	w.traffic.stop()
	if point == failpoint.AfterFragment { // the consumer first reads again what is behind its checkpoint's floor
		count += w.audit(w.checkpoint().FloorSeq).fragments
	}
	w.bigTransaction()
	if point == failpoint.BeforeConfirm { // soon, while the large transaction is on its way
		w.startIngest(failpoint.At(point, count), "--sync-interval", "10ms")
	} else {
		start(failpoint.At(point, count))
	}
	(*victim).DiesAt(point)
	at := w.tail(0)
	w.tb.Logf("the log of shape 0 stands at %s, committed to %s", at.Last, at.Committed)
	if at.CommittedRows-before.CommittedRows > bigRows/2 {
		w.tb.Errorf("the large transaction was over when %s died; the fault is to come in its middle", service)
	}
	start(nil)
	w.traffic.run()
	w.traffic.some(50)
}

func TestConsumerDiesWhileItReadsASnapshot(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		point failpoint.Point
		count int
	}{
		{"in the middle of the rows", failpoint.MidSnapshot, 2},
		{"after the rows, before the log's first entry", failpoint.AfterSnapshotRows, 5},
		{"after the log's first entry", failpoint.AfterSnapshotEntry, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{})
			w.startIngest(nil)
			w.bigTransaction()
			w.traffic.run()
			w.startConsumer(failpoint.At(c.point, 1+w.rng.IntN(c.count)))
			rest := w.requestFrom(w.consumer)
			w.consumer.DiesAt(c.point)
			w.bigTransaction()
			w.traffic.some(50)
			w.startConsumer(nil)
			for _, def := range rest {
				w.ask(def)
			}
			w.awaitLive()
			w.traffic.some(50)
			w.verify()
		})
	}
}
