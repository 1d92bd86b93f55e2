package crash

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/pg"
	"github.com/shapebus/shapebus/pkg/topology"
)

// A machine that loses power loses what JetStream has acknowledged and not yet
// synced. Cutting the end off a stream's files while the server is down leaves
// the same. The services live on, as on machines of their own.
func TestNATSLosesPowerAndTheSlotCoversIt(t *testing.T) {
	for _, c := range []struct {
		name    string
		trimmed bool  // nobody needs the change log's beginning any more, and it is gone
		most    int64 // bytes to lose
	}{
		{"the change log loses its last messages", false, 4 << 20},
		{"the change log loses everything", false, 1 << 40},
		{"the change log loses all that was left of it", true, 1 << 40},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{})
			// Postgres is told of nothing in the time that this takes.
			w.startIngest("", "--sync-interval", "1h")
			w.startConsumer("", "--sync-interval", "300ms") // after which it trims
			w.create()
			w.traffic.run()
			w.traffic.some(50)
			w.bigTransaction()
			w.traffic.some(50)
			w.settle()
			if c.trimmed {
				w.awaitTrim()
			}
			w.consumer.kill()
			w.traffic.some(50)
			w.bigTransaction()
			w.awaitStored()
			w.loseChanges(c.most)
			w.startConsumer("")
			w.traffic.some(50)
			w.verify()
		})
	}
}

// loseChanges kills NATS and lets the change log lose up to that many bytes.
func (w *world) loseChanges(most int64) {
	w.tb.Helper()
	before := w.changes()
	w.nats.proc.kill()
	if most < 1<<40 {
		most = 1 + w.rng.Int64N(most)
	}
	w.cut(w.source.ChangeStream(), most)
	w.nats.start()
	after := w.changes()
	w.tb.Logf("change log: %d to %d before, %d to %d after", before.FirstSeq, before.LastSeq, after.FirstSeq, after.LastSeq)
}

// awaitStored waits until the change log holds all that is committed by now,
// and ingest has taken note of it.
func (w *world) awaitStored() {
	w.tb.Helper()
	var lsn change.LSN
	w.with(func(ctx context.Context, conn *pgx.Conn) (err error) {
		lsn, err = pg.EmitBarrier(ctx, conn, topology.BarrierPrefix, "stored")
		return err
	})
	until(w.tb, "the change log is at "+lsn.String(), func() (bool, error) {
		kv, err := w.nats.js.KeyValue(w.tb.Context(), w.source.RelationBucket())
		if err != nil {
			return false, err
		}
		e, err := kv.Get(w.tb.Context(), "_ingest")
		if err != nil {
			return false, err
		}
		var record struct{ Acked change.LSN }
		err = json.Unmarshal(e.Value(), &record)
		return err == nil && record.Acked >= lsn, err
	})
}

// awaitTrim waits until the change log has lost its beginning.
func (w *world) awaitTrim() {
	w.tb.Helper()
	until(w.tb, "the change log is trimmed", func() (bool, error) { return w.changes().FirstSeq > 1, nil })
	w.tb.Logf("the change log is trimmed to %d messages", w.changes().Msgs)
}

// cut takes bytes off the end of a stream's newest files.
func (w *world) cut(stream string, bytes int64) {
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
	_, err := os.Stat(filepath.Join(w.nats.streamDir(stream), "index.db"))
	w.tb.Logf("the server's notes are there: %v", err == nil)
}
