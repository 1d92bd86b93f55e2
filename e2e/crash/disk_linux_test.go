package crash

import (
	"errors"
	"os"
	"syscall"
	"testing"
)

func TestTheDiskUnderJetStreamIsFullAndNothingIsLost(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs Postgres; not in -short")
	}
	dir := t.TempDir()
	const small, large = "size=5m", "size=200m"
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
	w.startIngest(nil, "--change-log-max-bytes=-1")
	w.startConsumer(nil)
	w.create()
	w.traffic.run()
	w.traffic.some(20)
	w.bigTransaction()
	w.bigTransaction()
	w.awaitSaid("full disk")
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, large); err != nil {
		t.Fatal(err)
	}
	// A NATS server whose disk was full may leave writes unanswered until it
	// is started again; docs/OPERATIONS.md says so.
	w.nats.Proc.Stop()
	w.nats.start()
	w.traffic.some(20)
	w.verify()
}
