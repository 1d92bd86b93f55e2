package ingest

import (
	"testing"
)

func TestIngest(t *testing.T) {
	t.Run("an insert becomes a fragment with its commit marker", func(t *testing.T) {
		b := newBench(t, "")
		b.exec("CREATE TABLE items (id int PRIMARY KEY, name text)")
		b.publish("items")
		b.start()
		b.exec("INSERT INTO items VALUES (1, 'one'), (2, NULL), (3, '')")
		for _, e := range b.upToBarrier() {
			if e.control != nil {
				t.Logf("%s %+v", e.subject, *e.control)
			} else {
				t.Logf("%s %+v", e.subject, e.frag)
			}
		}
	})
}
