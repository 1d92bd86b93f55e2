package crash

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
)

// A machine that loses power loses what JetStream has acknowledged and not yet
// synced. Cutting the end off a stream's files while the server is down leaves
// the same. The services live on, as on machines of their own.
func TestNATSLosesPowerAndTheSlotCoversIt(t *testing.T) {
	t.Parallel()
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
			w.startIngest(nil, "--sync-interval", "1h")
			w.startConsumer(nil, "--sync-interval", "300ms") // after which it trims
			w.create()
			w.traffic.run()
			w.traffic.some(50)
			w.bigTransaction()
			w.traffic.some(50)
			w.settle()
			if c.trimmed {
				w.awaitTrim()
			}
			w.consumer.Kill()
			w.traffic.some(50)
			w.bigTransaction()
			w.awaitStored()
			w.loseChanges(c.most)
			w.startConsumer(nil)
			w.traffic.some(50)
			w.verify()
		})
	}
}

// What a shape log loses is written again from the change log.
func TestNATSLosesPowerAndTheChangeLogCoversIt(t *testing.T) {
	t.Parallel()
	t.Run("shape logs lose their last messages, and checkpoints", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, options{})
		w.start()
		w.traffic.run()
		w.traffic.some(50)
		w.bigTransaction()
		w.traffic.some(50)
		w.settle()
		w.loseShapeLogs(func(size int64) int64 { return w.rng.Int64N(size / 2) })
		w.traffic.some(50)
		w.verify()
	})

	t.Run("a shape whose log is gone says so", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, options{})
		w.start()
		w.traffic.run()
		w.traffic.some(50)
		w.settle()
		w.loseShapeLogs(func(size int64) int64 { return size })
		for i, sh := range w.shapes {
			until(t, "the shape has ended", func() (bool, error) {
				info, err := sh.Refresh(t.Context())
				if err == nil && info.State == control.StateEnded && !strings.Contains(info.Reason, "log was lost") {
					t.Fatalf("shape %d has ended: %s", i, info.Reason)
				}
				return info.State == control.StateEnded, err
			})
		}
		// Asking again gives each shape a new incarnation.
		w.shapes, w.asked = nil, nil
		w.create()
		w.traffic.some(50)
		w.verify()
	})
}

// loseShapeLogs kills NATS and lets every partition lose what lose says of the size of its newest file.
func (w *world) loseShapeLogs(lose func(size int64) int64) {
	w.tb.Helper()
	w.nats.Proc.Kill()
	const partitions = 8
	for n := range partitions {
		files := w.nats.blocks(w.source.ShapeStream(n))
		info, err := os.Stat(files[len(files)-1])
		if err != nil {
			w.tb.Fatal(err)
		}
		w.cut(w.source.ShapeStream(n), lose(info.Size()))
	}
	w.nats.start()
}

// loseChanges kills NATS and lets the change log lose up to that many bytes.
func (w *world) loseChanges(most int64) {
	w.tb.Helper()
	before := w.changes()
	w.nats.Proc.Kill()
	if most < 1<<40 {
		most = 1 + w.rng.Int64N(most)
	}
	w.cut(w.source.ChangeStream(), most)
	w.nats.start()
	after := w.changes()
	w.tb.Logf("change log: %d to %d before, %d to %d after", before.FirstSeq, before.LastSeq, after.FirstSeq, after.LastSeq)
}

// awaitStored waits until the change log holds all that is committed so far,
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
		var record struct {
			Acked change.LSN `json:"acked"`
		}
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
	_, err := os.Stat(filepath.Join(w.nats.Messages(stream), "index.db"))
	w.tb.Logf("the server's notes are there: %v", err == nil)
}
