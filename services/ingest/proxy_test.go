package ingest

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/natsembed"
)

// proxy stands between a client and a server and can hold back what the
// server says, or cut the connections.
type proxy struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	gate  sync.Cond // of mu
	held  bool
	conns []net.Conn
}

func newProxy(tb testing.TB, target string) *proxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &proxy{listener: l, target: target}
	p.gate.L = &p.mu
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				_ = client.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, client, server)
			p.mu.Unlock()
			go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
			go func() { p.copyHeld(client, server); _ = client.Close() }()
		}
	}()
	tb.Cleanup(func() {
		_ = l.Close()
		p.hold(false)
		p.cut()
	})
	return p
}

func (p *proxy) copyHeld(to io.Writer, from io.Reader) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		for p.held {
			p.gate.Wait()
		}
		p.mu.Unlock()
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// hold holds back what the server says, or lets it go.
func (p *proxy) hold(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = on
	p.gate.Broadcast()
}

// cut ends all connections; new ones are taken.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// behindProxy puts a proxy between ingest and NATS, and gives ingest a
// connection through it. The bench's own connection goes past it.
func (b *bench) behindProxy() (*proxy, func(*Config)) {
	b.t.Helper()
	server, err := natsembed.Start(natsembed.Options{Dir: b.t.TempDir(), Port: -1})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(server.Stop)
	if b.nc, err = server.Connect(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(b.nc.Close)
	if b.js, err = jetstream.New(b.nc); err != nil {
		b.t.Fatal(err)
	}
	u, err := url.Parse(server.ClientURL())
	if err != nil {
		b.t.Fatal(err)
	}
	p := newProxy(b.t, u.Host)
	nc, err := nats.Connect("nats://"+p.listener.Addr().String(), nats.MaxReconnects(-1), nats.ReconnectWait(1e7), nats.IgnoreDiscoveredServers())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(nc.Close)
	return p, func(c *Config) { c.NATS = nc }
}
