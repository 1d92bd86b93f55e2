package crash

import (
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/natsembed"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
)

// With natsDirEnv in its environment this test binary is a NATS server, so
// that there is a process to kill.
const (
	natsDirEnv   = "CRASH_NATS_DIR"
	natsPortEnv  = "CRASH_NATS_PORT"
	natsStoreEnv = "CRASH_NATS_MAX_STORE"
)

func serveNATS(dir string) error {
	port, err := strconv.Atoi(os.Getenv(natsPortEnv))
	if err != nil {
		return err
	}
	store, err := strconv.ParseInt(cmp.Or(os.Getenv(natsStoreEnv), "0"), 10, 64)
	if err != nil {
		return err
	}
	s, err := natsembed.Start(natsembed.Options{
		Dir: dir, Port: port, MaxStore: store, SyncInterval: time.Minute,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	defer s.Stop()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP)
	for <-signals == syscall.SIGHUP {
		if err := s.SetMaxPayload(natsLowPayload); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, natsReloaded)
	}
	return nil
}

// At SIGHUP the server takes messages of natsLowPayload bytes only, and says natsReloaded.
const (
	natsLowPayload = 64 << 10
	natsReloaded   = "takes less"
)

// natsServer is a NATS server in a process of its own, always on one port.
type natsServer struct {
	tb    testing.TB
	dir   string
	port  int
	store int64 // limit in bytes, 0 for none
	proc  *process
	nc    *nats.Conn // the test's
	js    jetstream.JetStream
}

func startNATS(tb testing.TB, o options) *natsServer {
	tb.Helper()
	s := &natsServer{tb: tb, dir: o.natsDir, port: freePort(tb), store: o.natsStore}
	if s.dir == "" {
		s.dir = tb.TempDir()
	}
	s.start()
	nc, err := nats.Connect(s.url(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	s.nc = nc
	if s.js, err = jetstream.New(nc); err != nil {
		tb.Fatal(err)
	}
	return s
}

func (s *natsServer) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", s.port) }

// start starts it, on what the one before left, and waits until it answers.
func (s *natsServer) start() {
	s.tb.Helper()
	s.proc = spawn(s.tb, "nats", environment(
		natsDirEnv+"="+s.dir,
		natsPortEnv+"="+strconv.Itoa(s.port),
		natsStoreEnv+"="+strconv.FormatInt(s.store, 10),
	), os.Args[0])
	until(s.tb, "NATS answers", func() (bool, error) {
		if s.proc.gone() {
			s.tb.Fatalf("NATS did not start: %s", s.proc.log.tail())
		}
		nc, err := nats.Connect(s.url())
		if err != nil {
			return false, err
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			return false, err
		}
		_, err = js.AccountInfo(s.tb.Context())
		return err == nil, err
	})
}

// blocks are the files that hold a stream's messages, oldest first.
func (s *natsServer) blocks(stream string) []string {
	s.tb.Helper()
	files, err := filepath.Glob(filepath.Join(s.streamDir(stream), "*.blk"))
	if err != nil || len(files) == 0 {
		s.tb.Fatalf("stream %s has no files: %v", stream, err)
	}
	byNumber := func(name string) int {
		n, err := strconv.Atoi(filepath.Base(name[:len(name)-len(".blk")]))
		if err != nil {
			s.tb.Fatal(err)
		}
		return n
	}
	sortBy(files, byNumber)
	return files
}

func (s *natsServer) streamDir(stream string) string {
	return filepath.Join(s.dir, "jetstream", "$G", "streams", stream, "msgs")
}

func freePort(tb testing.TB) int {
	tb.Helper()
	port, err := natstest.FreePort(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return port
}
