package natstest

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Configured is a NATS server with a configuration of its own, such as accounts,
// users and their permissions, on a free port of loopback. Its store, if the
// configuration has JetStream, is in the test's temporary directory.
type Configured struct {
	tb   testing.TB
	srv  *server.Server
	file string
	dir  string
}

// StartConfigured starts a server with a configuration in NATS' own form, without
// listener and store. It is stopped when the test ends.
func StartConfigured(tb testing.TB, conf string) *Configured {
	tb.Helper()
	c := &Configured{tb: tb, file: filepath.Join(tb.TempDir(), "nats.conf"), dir: tb.TempDir()}
	c.write(conf)
	opts := &server.Options{}
	if err := opts.ProcessConfigFile(c.file); err != nil {
		tb.Fatal(err)
	}
	opts.Host, opts.Port, opts.NoSigs, opts.NoLog, opts.StoreDir = "127.0.0.1", -1, true, true, c.dir
	srv, err := server.NewServer(opts)
	if err != nil {
		tb.Fatal(err)
	}
	srv.Start()
	tb.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(time.Minute) {
		tb.Fatal("the server was not ready after a minute")
	}
	c.srv = srv
	return c
}

func (c *Configured) write(conf string) {
	c.tb.Helper()
	if err := os.WriteFile(c.file, []byte(conf), 0o600); err != nil {
		c.tb.Fatal(err)
	}
}

// Reload makes another configuration count, as a signal to the server's process would.
func (c *Configured) Reload(conf string) {
	c.tb.Helper()
	opts := &server.Options{}
	c.write(conf)
	if err := opts.ProcessConfigFile(c.file); err != nil {
		c.tb.Fatal(err)
	}
	opts.Host, opts.Port, opts.NoSigs, opts.NoLog, opts.StoreDir = "127.0.0.1", -1, true, true, c.dir
	if err := c.srv.ReloadOptions(opts); err != nil {
		c.tb.Fatal(err)
	}
}

// Connect opens a connection that the caller closes.
func (c *Configured) Connect(opts ...nats.Option) (*nats.Conn, error) {
	return nats.Connect(c.srv.ClientURL(), opts...)
}

// CutLeaves closes the connections of all leaf nodes to this server. They come back.
func (c *Configured) CutLeaves() {
	c.tb.Helper()
	leaves, err := c.srv.Leafz(nil)
	if err != nil {
		c.tb.Fatal(err)
	}
	for _, l := range leaves.Leafs {
		if err := c.srv.DisconnectClientByID(l.ID); err != nil {
			c.tb.Fatal(err)
		}
	}
}
