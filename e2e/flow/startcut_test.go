package flow

import (
	"bytes"
	"net"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/natsembed"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
)

// TestTheConnectionIsLostWhileTheControlPlaneStarts: a consumer whose connection breaks while it waits for the server to know its
// endpoints goes on when the connection is back. nats.go calls that "connection closed".
func TestTheConnectionIsLostWhileTheControlPlaneStarts(t *testing.T) {
	port, err := natstest.FreePort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	server, err := natsembed.Start(natsembed.Options{Dir: t.TempDir(), Port: port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	s := stack.WithNATS(t, projectSchema, server)
	s.StartIngest()
	d := &cuttingDialer{at: []byte(control.EndpointStatus)}
	s.Reach = func(opts ...nats.Option) (*nats.Conn, error) {
		return nats.Connect(server.ClientURL(), append(opts, nats.SetCustomDialer(d))...)
	}
	s.StartConsumer()
	if !d.cut.Load() {
		t.Fatal("the connection was not cut")
	}
	sh := s.Create(client.Definition{Table: "projects", Where: "active"})
	s.Exec("UPDATE projects SET active = true")
	s.Verify(sh)
}

// cuttingDialer cuts the first connection that subscribes to a subject ending with at, once its client waits for a pong.
type cuttingDialer struct {
	at  []byte
	cut atomic.Bool
}

func (d *cuttingDialer) Dial(network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address)
	return &cuttingConn{Conn: conn, d: d}, err
}

type cuttingConn struct {
	net.Conn

	d          *cuttingDialer
	subscribed bool
}

func (c *cuttingConn) Write(b []byte) (int, error) {
	c.subscribed = c.subscribed || bytes.Contains(b, c.d.at)
	if c.subscribed && bytes.Contains(b, []byte("PING\r\n")) && c.d.cut.CompareAndSwap(false, true) {
		_ = c.Close() // what the client reads next ends
		return len(b), nil
	}
	return c.Conn.Write(b)
}
