package crash

import (
	"os"
	"path/filepath"
	"testing"
)

// A machine that loses power loses what JetStream has acknowledged and not yet
// synced. Cutting the end off a stream's files while the server is down leaves
// the same.
func TestNATSLosesPowerAndTheSlotCoversIt(t *testing.T) {
	for _, c := range []struct {
		name string
		lose func(*world)
	}{
		{name: "the change log loses its last messages", lose: func(w *world) {
			w.cut(w.source.ChangeStream(), 1+w.rng.Int64N(4<<20), true)
		}},
		{name: "the change log loses its last messages, and the server's own notes are newer", lose: func(w *world) {
			w.cut(w.source.ChangeStream(), 1+w.rng.Int64N(4<<20), false)
		}},
		{name: "the change log loses all that was not synced, which is everything", lose: func(w *world) {
			w.cut(w.source.ChangeStream(), 1<<40, true)
		}},
		{name: "the change log loses everything, and the server's own notes are newer", lose: func(w *world) {
			w.cut(w.source.ChangeStream(), 1<<40, false)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{})
			// Postgres is told of nothing in the time that this takes.
			unsynced := []string{"--sync-interval", "1h"}
			w.startIngest("", unsynced...)
			w.startConsumer("")
			w.create()
			w.traffic.run()
			w.traffic.some(50)
			w.bigTransaction()
			w.traffic.some(50)
			w.settle()

			before := w.changes()
			w.nats.proc.kill()
			c.lose(w)
			w.nats.start()
			t.Logf("change log: %d to %d before, %d to %d after", before.FirstSeq, before.LastSeq, w.changes().FirstSeq, w.changes().LastSeq)
			w.traffic.some(50)
			w.verify()
		})
	}
}

// cut takes bytes off the end of a stream's newest files, and the notes from
// which the server would know better.
func (w *world) cut(stream string, bytes int64, notes bool) {
	w.tb.Helper()
	files := w.nats.blocks(stream)
	for i := len(files) - 1; i >= 0 && bytes > 0; i-- {
		info, err := os.Stat(files[i])
		if err != nil {
			w.tb.Fatal(err)
		}
		keep := max(0, info.Size()-bytes)
		bytes -= info.Size() - keep
		if err := os.Truncate(files[i], keep); err != nil {
			w.tb.Fatal(err)
		}
		w.tb.Logf("%s/%s: %d of %d bytes are left", stream, filepath.Base(files[i]), keep, info.Size())
	}
	if notes {
		if err := os.Remove(filepath.Join(w.nats.streamDir(stream), "index.db")); err != nil && !os.IsNotExist(err) {
			w.tb.Fatal(err)
		}
	}
}
