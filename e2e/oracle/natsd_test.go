package oracle

import (
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/natsembed"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
)

// With natsDirEnv in its environment this test binary is a NATS server, so
// that there is a process to kill.
const (
	natsDirEnv  = "ORACLE_NATS_DIR"
	natsPortEnv = "ORACLE_NATS_PORT"
)

func serveNATS(dir string) error {
	port, err := strconv.Atoi(os.Getenv(natsPortEnv))
	if err != nil {
		return err
	}
	s, err := natsembed.Start(natsembed.Options{
		Dir: dir, Port: port, SyncInterval: time.Minute,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	defer s.Stop()
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	<-end
	return nil
}

// natsServer is a NATS server in a process of its own, always on one port.
type natsServer struct {
	dir  string
	port int
	proc *process
}

func (n *natsServer) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", n.port) }

// startNATS starts the server, and what the test itself has of it.
func (w *world) startNATS() {
	w.tb.Helper()
	w.natsd = &natsServer{dir: w.tb.TempDir(), port: freePort(w.tb)}
	w.runNATS()
	nc, err := nats.Connect(w.natsd.url(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		w.tb.Fatal(err)
	}
	w.tb.Cleanup(nc.Close)
	if w.js, err = jetstream.New(nc); err != nil {
		w.tb.Fatal(err)
	}
	if w.client, err = client.New(nc, string(w.source)); err != nil {
		w.tb.Fatal(err)
	}
}

// runNATS starts the process, on what the one before left, and waits until it answers.
func (w *world) runNATS() {
	w.tb.Helper()
	n := w.natsd
	n.proc = spawn(w.tb, "nats", environment(natsDirEnv+"="+n.dir, natsPortEnv+"="+strconv.Itoa(n.port)), os.Args[0])
	w.until("NATS answers", func() (bool, error) {
		if n.proc.gone() {
			w.tb.Fatalf("NATS did not start: %s", n.proc.log)
		}
		nc, err := nats.Connect(n.url())
		if err != nil {
			return false, err
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			return false, err
		}
		_, err = js.AccountInfo(w.tb.Context())
		return err == nil, err
	})
}

// killNATS kills the server, lets it lose the end of the change log if that is
// in the plan, and starts it again.
func (w *world) killNATS() {
	w.tb.Helper()
	w.natsd.proc.end(syscall.SIGKILL)
	w.note("NATS was killed")
	if w.plan.has(natsLoses) {
		w.cut(w.source.ChangeStream(), w.rng.Int64N(1<<[]int{10, 16, 22}[w.rng.IntN(3)]))
	}
	w.runNATS()
}

// cut takes bytes off the end of a stream's newest files, as a machine does that
// loses power with what was acknowledged and not yet synced.
func (w *world) cut(stream string, bytes int64) {
	w.tb.Helper()
	files, err := filepath.Glob(filepath.Join(w.natsd.dir, "jetstream", "$G", "streams", stream, "msgs", "*.blk"))
	if err != nil {
		w.tb.Fatal(err)
	}
	slices.SortFunc(files, func(a, b string) int { return blockNumber(b) - blockNumber(a) })
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			w.tb.Fatal(err)
		}
		keep := max(0, info.Size()-bytes)
		bytes -= info.Size() - keep
		if err := os.Truncate(name, keep); err != nil {
			w.tb.Fatal(err)
		}
		w.note("%s lost its unsynced end: %d of %d bytes of %s are left", stream, keep, info.Size(), filepath.Base(name))
		if bytes <= 0 {
			return
		}
	}
}

func blockNumber(name string) int {
	n, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(name), ".blk"))
	if err != nil {
		return -1 // it is no block
	}
	return n
}

func freePort(tb testing.TB) int {
	tb.Helper()
	port, err := natstest.FreePort(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return port
}
