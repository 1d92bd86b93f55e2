package ingest

import (
	"testing"
	"time"
)

func TestIngest(t *testing.T) {
	t.Run("an insert becomes a fragment with its commit marker", func(t *testing.T) {
		b := newBench(t, "")
		b.exec("CREATE TABLE items (id int PRIMARY KEY, name text)")
		b.publish("items")
		r := b.start()
		b.exec("INSERT INTO items VALUES (1, 'one'), (2, NULL), (3, '')")
		es := b.upToBarrier()
		t0 := time.Now()
		r.stop()
		t.Log("stop", time.Since(t0))
		for _, e := range es {
			if e.control != nil {
				t.Logf("%s %+v", e.subject, *e.control)
			} else {
				t.Logf("%s %+v", e.subject, e.frag)
			}
		}
	})
}
