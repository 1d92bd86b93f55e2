package crash

import (
	"context"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/e2e/proc"
)

// TestTheServerIsToldToTakeLess lowers max_payload of a running server, which tells its clients nothing: it closes the
// connections of those that send more. The services open others and go on.
func TestTheServerIsToldToTakeLess(t *testing.T) {
	t.Parallel()
	if path := proc.NATSServer(); path != "" {
		t.Skipf("%s is not told so: its configuration is a file", path)
	}
	w := newWorld(t, options{})
	w.start()
	w.traffic.run()
	w.traffic.some(20)
	w.nats.Proc.Signal(syscall.SIGHUP)
	until(t, "the server takes less", func() (bool, error) { return w.nats.Proc.Log.Count(proc.NATSReloaded) == 1, nil })
	for range 3 {
		w.with(func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "INSERT INTO items SELECT 1000000000 + coalesce(max(id), 0), 3, repeat('x', $1), true FROM items", 4*proc.NATSLowPayload)
			return err
		})
		w.traffic.some(20)
	}
	w.verify()
	closed := 0
	for _, p := range []*proc.Test{w.ingest, w.consumer} {
		if p.Gone() {
			t.Errorf("%s has ended", p.Name)
		}
		closed += p.Log.Count("opening another")
	}
	if closed == 0 {
		t.Error("no connection was closed: the fault did not fire")
	}
}
