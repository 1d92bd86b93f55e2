package crash

import (
	"syscall"
	"testing"
	"time"
)

// An ingest that is frozen keeps its connection, and with it the slot. Postgres takes the slot away after ten seconds of
// silence, and another one goes on. The limit is for slow machines; a minute was what it took with Postgres' own setting.
func TestAFrozenIngestIsReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start()
	frozen := w.ingest
	w.startIngest(nil)
	w.settle()
	frozen.Signal(syscall.SIGSTOP)
	began := time.Now()
	w.traffic.run()
	w.traffic.some(5)
	w.settle()
	took := time.Since(began)
	t.Logf("others went on after %s", took)
	if took > 30*time.Second {
		t.Errorf("it took %s until another ingest went on", took)
	}
	frozen.Signal(syscall.SIGCONT)
	w.traffic.some(20)
	w.verify()
}
