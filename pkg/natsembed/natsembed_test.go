package natsembed_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/natsembed"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
)

func start(t *testing.T, opts natsembed.Options) *natsembed.Server {
	t.Helper()
	s, err := natsembed.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func connect(t *testing.T, s *natsembed.Server) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

func TestStopAndStart(t *testing.T) {
	opts := natsembed.Options{Dir: t.TempDir()}
	const messages = 100

	s := start(t, opts)
	_, js := connect(t, s)
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range messages {
		if _, err := js.Publish(t.Context(), "s.a", fmt.Appendf(nil, "message %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	before := stream.CachedInfo()
	s.Stop()
	s.Stop() // does nothing

	_, js = connect(t, start(t, opts))
	stream, err = js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	info := stream.CachedInfo()
	if info.State.Msgs != messages || !info.Created.Equal(before.Created) {
		t.Fatalf("%d messages in a stream made at %v, want all %d acknowledged ones in that of %v",
			info.State.Msgs, info.Created, messages, before.Created)
	}
	for i := range messages {
		msg, err := stream.GetMsg(t.Context(), uint64(i+1))
		if err != nil || string(msg.Data) != fmt.Sprintf("message %d", i) {
			t.Fatalf("message %d is %q, %v", i, msg.Data, err)
		}
	}
}

func TestDirectory(t *testing.T) {
	t.Run("a temporary one goes with the server", func(t *testing.T) {
		t.Setenv("TMPDIR", t.TempDir())
		s := start(t, natsembed.Options{})
		if !strings.HasPrefix(s.Dir(), os.Getenv("TMPDIR")) {
			t.Errorf("the store is in %s", s.Dir())
		}
		s.Stop()
		if left, err := filepath.Glob(os.Getenv("TMPDIR") + "/*"); err != nil || len(left) != 0 {
			t.Errorf("left behind: %v %v", left, err)
		}
	})
	t.Run("is refused to a second server, and free again after the first", func(t *testing.T) {
		opts := natsembed.Options{Dir: t.TempDir()}
		first := start(t, opts)
		if _, err := natsembed.Start(opts); err == nil || !strings.Contains(err.Error(), "in use by another server") {
			t.Errorf("a second server: %v", err)
		}
		first.Stop()
		start(t, opts)
	})
}

func TestListener(t *testing.T) {
	t.Run("there is none by default", func(t *testing.T) {
		if url := start(t, natsembed.Options{Dir: t.TempDir()}).ClientURL(); url != "" {
			t.Errorf("listens on %s", url)
		}
	})
	t.Run("port -1 is a free one, on loopback", func(t *testing.T) {
		s := start(t, natsembed.Options{Dir: t.TempDir(), Port: -1})
		if !strings.HasPrefix(s.ClientURL(), "nats://127.0.0.1:") {
			t.Fatalf("listens on %s", s.ClientURL())
		}
		nc, err := nats.Connect(s.ClientURL())
		if err != nil {
			t.Fatal(err)
		}
		nc.Close()
	})
	t.Run("a port in use is an error at once that names it, and leaves the directory free", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addr := l.Addr()
		port, err := netip.ParseAddrPort(addr.String())
		if err != nil {
			t.Fatal(err)
		}
		opts := natsembed.Options{Dir: t.TempDir(), Port: int(port.Port())}
		began := time.Now()
		if _, err := natsembed.Start(opts); err == nil || !strings.Contains(err.Error(), addr.String()) {
			t.Errorf("got %v", err)
		}
		if d := time.Since(began); d > 20*time.Second {
			t.Errorf("it took %s to say so", d)
		}
		opts.Port = 0
		start(t, opts)
	})
}

func TestLimits(t *testing.T) {
	nc, js := natstest.Conn(t)
	if nc.MaxPayload() != 1<<20 {
		t.Errorf("max payload is %d, want NATS' own 1 MiB", nc.MaxPayload())
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().Config.MaxConsumers; n != -1 {
		t.Errorf("a stream may have %d consumers, want any number", n)
	}
	big := start(t, natsembed.Options{Dir: t.TempDir(), MaxPayload: 4 << 20, MaxStore: 1 << 20})
	nc, js = connect(t, big)
	if nc.MaxPayload() != 4<<20 {
		t.Errorf("max payload is %d, want the 4 MiB asked for", nc.MaxPayload())
	}
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	if err != nil {
		t.Fatal(err)
	}
	// The server looks at what is stored before it takes a message, so one may exceed the limit.
	for range 2 {
		_, err = js.Publish(t.Context(), "s.a", make([]byte, 2<<20))
	}
	if err == nil {
		t.Error("twice 2 MiB were stored in a store of 1 MiB")
	}
}

func TestBadOptions(t *testing.T) {
	for name, opts := range map[string]natsembed.Options{
		"port":          {Port: 70000},
		"max payload":   {MaxPayload: 1 << 40},
		"sync interval": {SyncInterval: -time.Second},
		"max store":     {MaxStore: -1},
	} {
		if _, err := natsembed.Start(opts); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("a bad %s: %v", name, err)
		}
	}
}

func TestLog(t *testing.T) {
	var log bytes.Buffer
	s := start(t, natsembed.Options{
		Dir: t.TempDir(), Name: "named-server",
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	s.Stop() // the buffer is ours again
	if !strings.Contains(log.String(), "named-server") {
		t.Errorf("the server's log did not arrive:\n%s", &log)
	}
}
