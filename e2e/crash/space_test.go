package crash

import (
	"fmt"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/e2e/proc"
)

const outOfSpace = "JetStream is out of space; free some or raise its limit, nothing stored is lost and work goes on by itself then"

func TestJetStreamRunsOutOfSpaceAndNothingIsLost(t *testing.T) {
	t.Parallel()
	t.Run("the server's limit is reached, and raised", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, options{natsStore: 3 << 20})
		w.startIngest(nil, "--change-log-max-bytes=-1")
		w.startConsumer(nil)
		w.create()
		w.traffic.run()
		w.traffic.some(20)
		w.bigTransaction()
		w.bigTransaction()
		w.awaitSaid(outOfSpace)
		w.traffic.some(20)
		w.nats.Proc.Stop()
		w.nats.Store = 0
		w.nats.start()
		w.verify()
	})

	t.Run("the change log is full and holds Postgres back until the consumer has read it", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, options{})
		limited := []string{"--change-log-max-bytes", "1MiB", "--hold-postgres"}
		w.startIngest(nil, limited...)
		w.startConsumer(nil)
		w.create()
		w.consumer.Stop()
		for i := range 40 { // 3 MiB
			w.exec(fmt.Sprintf("INSERT INTO items SELECT %d + g, 3, repeat('x', 60), true FROM generate_series(1, 1000) g", 10_000*(i+1)))
		}
		w.awaitSaid(outOfSpace)
		w.startConsumer(nil, "--sync-interval", "300ms") // after which it trims
		w.traffic.run()
		w.traffic.some(20)
		w.verify()
	})
}

// awaitSaid waits until a service has said it.
func (w *world) awaitSaid(text string) {
	w.tb.Helper()
	until(w.tb, "somebody says: "+text, func() (bool, error) {
		for _, p := range []*proc.Test{w.ingest, w.consumer} {
			for _, line := range p.Log.Lines() {
				if strings.Contains(line, text) {
					w.tb.Logf("%s: %s", p.Name, line)
					return true, nil
				}
			}
		}
		return false, nil
	})
}
