package crash

import (
	"fmt"
	"testing"
)

func TestIngestDiesAndEveryLogContinues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, point string }{
		{"between two fragments of a transaction", "between_fragments"},
		{"after publishing, before JetStream answers", "after_publish"},
		{"after JetStream has answered", "after_ack"},
		{"before it confirms to Postgres", "before_confirm"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{})
			w.start()
			w.traffic.run()

			w.ingest.stop()
			w.startIngest(fmt.Sprintf("%s:%d", c.point, 1+w.rng.IntN(20)), "--fragment-ops", "2")
			w.ingest.diesAt(c.point)
			w.startIngest("")
			w.traffic.some(20)

			count := 20 + w.rng.IntN(80)
			if c.point == "before_confirm" { // the small transactions before the large one are confirmed while that is on its way
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
		name, point string
		small, big  int // bounds of the count
	}{
		{"after a fragment", "after_fragment", 20, 100},
		{"after an append, before a checkpoint", "after_append", 40, 100},
		{"between the checkpoints of two partitions", "before_checkpoint", 40, 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{})
			w.start()
			w.traffic.run()

			w.consumer.stop()
			w.startConsumer(fmt.Sprintf("%s:%d", c.point, 1+w.rng.IntN(c.small)))
			w.consumer.diesAt(c.point)
			w.startConsumer("")
			w.traffic.some(20)

			w.killInBig("consumer", c.point, 1+w.rng.IntN(c.big))
			w.verify()
		})
	}
}

// killInBig has a service die in the middle of a large transaction, and starts
// it again with other fragment sizes while small transactions go on.
func (w *world) killInBig(service, point string, count int) {
	w.tb.Helper()
	w.traffic.stop()
	w.settle()
	proc, start := &w.ingest, func(failpoint string) { w.startIngest(failpoint) }
	if service == "consumer" {
		proc, start = &w.consumer, func(failpoint string) { w.startConsumer(failpoint) }
	}
	(*proc).stop()
	before := w.tail(0)
	w.traffic.run()
	w.traffic.some(5)
	w.traffic.stop()
	if point == "after_fragment" { // the consumer first reads again what is behind its checkpoint's floor
		count += w.audit(w.checkpoint().FloorSeq).fragments
	}
	w.bigTransaction()
	if point == "before_confirm" { // soon, while the large transaction is on its way
		w.startIngest(fmt.Sprintf("%s:%d", point, count), "--sync-interval", "10ms")
	} else {
		start(fmt.Sprintf("%s:%d", point, count))
	}
	(*proc).diesAt(point)
	at := w.tail(0)
	w.tb.Logf("the log of shape 0 stands at %s, committed to %s", at.Last, at.Committed)
	if at.CommittedRows-before.CommittedRows > bigRows/2 {
		w.tb.Errorf("the large transaction was over when %s died; the fault is to come in its middle", service)
	}
	start("")
	w.traffic.run()
	w.traffic.some(50)
}

func TestConsumerDiesWhileItReadsASnapshot(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, point string
		count       int
	}{
		{"in the middle of the rows", "mid_snapshot", 8},
		{"after the rows, before the log's first entry", "after_snapshot_rows", 5},
		{"after the log's first entry", "after_snapshot_entry", 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{})
			w.startIngest("")
			w.bigTransaction()
			w.traffic.run()
			w.startConsumer(fmt.Sprintf("%s:%d", c.point, 1+w.rng.IntN(c.count)))
			rest := w.requestFrom(w.consumer)
			w.consumer.diesAt(c.point)
			w.bigTransaction()
			w.traffic.some(50)
			w.startConsumer("")
			for _, def := range rest {
				w.ask(def)
			}
			w.awaitLive()
			w.traffic.some(50)
			w.verify()
		})
	}
}
