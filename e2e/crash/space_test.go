package crash

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

const outOfSpace = "JetStream is out of space; free some or raise its limit, nothing stored is lost and work goes on by itself then"

func TestJetStreamRunsOutOfSpaceAndNothingIsLost(t *testing.T) {
	t.Parallel()
	t.Run("the server's limit is reached, and raised", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, options{natsStore: 8 << 20})
		w.startIngest("", "--change-log-max-bytes=-1")
		w.startConsumer("")
		w.create()
		w.traffic.run()
		w.traffic.some(20)
		w.bigTransaction()
		w.awaitSaid(outOfSpace)
		w.traffic.some(20)
		w.nats.proc.stop()
		w.nats.store = 0
		w.nats.start()
		w.verify()
	})

	t.Run("the change log is full and holds Postgres back until the consumer has read it", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, options{})
		limited := []string{"--change-log-max-bytes", "1MiB", "--hold-postgres"}
		w.startIngest("", limited...)
		w.startConsumer("")
		w.create()
		w.consumer.stop()
		for i := range 40 { // 3 MiB
			w.exec(fmt.Sprintf("INSERT INTO items SELECT %d + g, 3, repeat('x', 60), true FROM generate_series(1, 1000) g", 10_000*(i+1)))
		}
		w.awaitSaid(outOfSpace)
		w.startConsumer("", "--sync-interval", "300ms") // after which it trims
		w.traffic.run()
		w.traffic.some(20)
		w.verify()
	})

	t.Run("the disk is full", func(t *testing.T) {
		t.Parallel()
		if testing.Short() {
			t.Skip("needs Postgres; not in -short")
		}
		dir := t.TempDir()
		const small, large = "size=12m", "size=200m"
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, small); errors.Is(err, os.ErrPermission) {
			t.Skip("needs the right to mount a file system")
		} else if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		w := newWorld(t, options{natsDir: dir, natsStore: 1 << 40})
		w.startIngest("", "--change-log-max-bytes=-1")
		w.startConsumer("")
		w.create()
		w.traffic.run()
		w.traffic.some(20)
		w.bigTransaction()
		until(t, "the disk is full", func() (bool, error) { return full(dir) })
		w.traffic.some(20)
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, large); err != nil {
			t.Fatal(err)
		}
		t.Log("there is room again")
		// A NATS server whose disk was full may leave writes unanswered until it
		// is started again; docs/OPERATIONS.md says so.
		w.nats.proc.stop()
		w.nats.start()
		w.verify()
	})
}

// awaitSaid waits until a service has said it.
func (w *world) awaitSaid(text string) {
	w.tb.Helper()
	until(w.tb, "somebody says: "+text, func() (bool, error) {
		for _, p := range []*process{w.ingest, w.consumer} {
			for _, line := range p.log.lines() {
				if strings.Contains(line, text) {
					w.tb.Logf("%s: %s", p.name, line)
					return true, nil
				}
			}
		}
		return false, nil
	})
}

func full(dir string) (bool, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return false, err
	}
	return s.Bavail*uint64(s.Bsize) < 1<<20, nil
}
