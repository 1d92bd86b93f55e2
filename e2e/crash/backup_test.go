package crash

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/e2e/long"
	"github.com/shapebus/shapebus/internal/pg/slots"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// An older backup of the change log is put in its place while the server is
// down. What it lacks, the slot or the shapes have, or the shapes say that they do not.
func TestAnOlderBackupOfTheChangeLogIsRestored(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		confirm string // until the slot has passed what is stored
		behind  bool   // the consumer has not read what is lost
	}{
		{"the slot has what it lacks", "1h", false},
		{"the slot has what it lacks, and the consumer had not read it", "1h", true},
		{"the shapes have what it lacks", "300ms", false},
		{"nobody has what it lacks", "300ms", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !tt.behind {
				long.Only(t)
			}
			t.Parallel()
			w := newWorld(t, options{})
			w.startIngest(nil, "--sync-interval", tt.confirm)
			w.startConsumer(nil)
			w.create()
			w.traffic.run()
			w.traffic.some(30)
			w.settle()
			w.nats.Proc.Kill()
			stream := filepath.Dir(w.nats.Messages(w.source.ChangeStream()))
			backup := filepath.Join(t.TempDir(), "backup")
			if err := os.CopyFS(backup, os.DirFS(stream)); err != nil {
				t.Fatal(err)
			}
			w.nats.start()
			w.traffic.some(30)
			w.settle()
			if tt.behind {
				w.consumer.Kill()
			}
			w.traffic.some(30)
			w.bigTransaction()
			w.traffic.stop()
			w.awaitStored()
			if !tt.behind {
				w.settle()
			}
			if tt.confirm != "1h" {
				w.awaitConfirmed()
				w.torn = true // the backup is of a server that was killed, and the slot has passed what it ended with
			}
			w.nats.Proc.Kill()
			if err := os.RemoveAll(stream); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(stream, os.DirFS(backup)); err != nil {
				t.Fatal(err)
			}
			w.nats.start()
			if tt.behind {
				w.startConsumer(nil)
			}
			w.traffic.run()
			w.traffic.some(30)
			if tt.behind && tt.confirm != "1h" {
				for i, sh := range w.shapes {
					until(t, "the shape has ended", func() (bool, error) {
						info, err := sh.Refresh(t.Context())
						if err == nil && info.State == control.StateEnded && !strings.Contains(info.Reason, "discarded") {
							t.Fatalf("shape %d has ended: %s", i, info.Reason)
						}
						return err == nil && info.State == control.StateEnded, err
					})
				}
				w.shapes, w.asked = nil, []client.Definition(nil)
				w.create()
			}
			w.verify()
		})
	}
}

// awaitConfirmed waits until the slot has passed all that is committed.
func (w *world) awaitConfirmed() {
	w.tb.Helper()
	w.with(func(ctx context.Context, conn *pgx.Conn) error {
		var goal string
		if err := conn.QueryRow(ctx, "SELECT pg_current_wal_lsn()::text").Scan(&goal); err != nil {
			return err
		}
		until(w.tb, "the slot is at "+goal, func() (ok bool, err error) {
			err = conn.QueryRow(ctx, "SELECT confirmed_flush_lsn >= $1::pg_lsn FROM pg_replication_slots WHERE slot_name = $2", goal, w.source.Slot()).Scan(&ok)
			return ok, err
		})
		slot, err := slots.Lookup(ctx, conn, w.source.Slot())
		w.tb.Logf("the slot is at %s", slot.ConfirmedFlush)
		return err
	})
}
