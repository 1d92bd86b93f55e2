package proc

import (
	"cmp"
	"context"
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

// With natsDirEnv in its environment a test binary is a NATS server, so that there is a process to kill.
const (
	natsDirEnv   = "PROC_NATS_DIR"
	natsPortEnv  = "PROC_NATS_PORT"
	natsStoreEnv = "PROC_NATS_MAX_STORE"
)

// ServeNATS makes this process the NATS server that NATS.Start or Node.Start has started, and does not return then.
// Otherwise it does nothing. TestMain calls it first.
func ServeNATS() {
	dir, node := os.Getenv(natsDirEnv), os.Getenv(nodeEnv)
	var err error
	switch {
	case dir != "":
		err = serveNATS(dir)
	case node != "":
		err = serveNode(node)
	default:
		return
	}
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n") // nobody is left to tell
		os.Exit(1)
	}
	os.Exit(0)
}

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
		if err := s.SetMaxPayload(NATSLowPayload); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, NATSReloaded)
	}
	return nil
}

// At SIGHUP the server takes messages of NATSLowPayload bytes only, and says NATSReloaded.
const (
	NATSLowPayload = 64 << 10
	NATSReloaded   = "takes less"
)

// NATS is a NATS server in a process of its own, always on one port. It keeps what it stored when the
// process is killed and started again.
type NATS struct {
	Dir   string
	Store int64 // limit in bytes, 0 for none
	Proc  *Test // nil before Start

	port int
}

// NewNATS finds a port for a server that keeps its files in dir.
func NewNATS(tb testing.TB, dir string) *NATS {
	tb.Helper()
	port, err := natstest.FreePort(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return &NATS{Dir: dir, port: port}
}

// URL is the server's address.
func (n *NATS) URL() string { return fmt.Sprintf("nats://127.0.0.1:%d", n.port) }

// Start starts the process, on what the one before left. Answers tells when it has started. NATS_SERVER in the environment names
// the server to run, else it is the one built in.
func (n *NATS) Start(tb testing.TB) {
	tb.Helper()
	if path := NATSServer(); path != "" {
		args, err := natsConfig{name: "shapebus", dir: n.Dir, port: n.port, syncInterval: "1m", maxStore: n.Store}.write()
		if err != nil {
			tb.Fatal(err)
		}
		n.Proc = Spawn(tb, Options{Name: "nats", Path: path, Args: args})
		return
	}
	n.Proc = Spawn(tb, Options{Name: "nats", Path: os.Args[0], Env: Environment(
		natsDirEnv+"="+n.Dir,
		natsPortEnv+"="+strconv.Itoa(n.port),
		natsStoreEnv+"="+strconv.FormatInt(n.Store, 10),
	)})
}

// Answers returns nil if the server and its JetStream answer. It fails the test if the process has ended.
func (n *NATS) Answers(ctx context.Context) error {
	if n.Proc.Gone() {
		n.Proc.tb.Fatalf("NATS did not start: %s", n.Proc.Log.Tail())
	}
	nc, err := nats.Connect(n.URL())
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	_, err = js.AccountInfo(ctx)
	return err
}

// Connect opens the test's own connection, which lasts through deaths of the server.
func (n *NATS) Connect(tb testing.TB) (*nats.Conn, jetstream.JetStream) {
	tb.Helper()
	nc, err := nats.Connect(n.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		tb.Fatal(err)
	}
	return nc, js
}

// Messages is the directory that holds a stream's messages.
func (n *NATS) Messages(stream string) string {
	return filepath.Join(n.Dir, "jetstream", "$G", "streams", stream, "msgs")
}
