package client_test

import (
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/natsembed"
)

// gate is a way to the server that can be shut.
type gate struct {
	mu    sync.Mutex
	shut  bool
	conns []net.Conn
}

func (g *gate) Dial(network, address string) (net.Conn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return nil, errors.New("the gate is shut")
	}
	c, err := net.Dial(network, address)
	if err == nil {
		g.conns = append(g.conns, c)
	}
	return c, err
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	for _, c := range g.conns {
		if shut {
			_ = c.Close()
		}
	}
}

// The beginning of a transaction was told, its end was stored while the reader's connection was away, and nothing follows.
func TestATransactionWhoseEndWasNotToldIsShown(t *testing.T) {
	server, err := natsembed.Start(natsembed.Options{Dir: t.TempDir(), Port: -1})
	ok(t, err)
	t.Cleanup(server.Stop)
	g, n := &gate{}, 0
	b := newBenchOn(t, server, func(o ...nats.Option) (*nats.Conn, error) {
		o = append(o, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
		if n++; n == 2 { // the reader's
			o = append(o, nats.SetCustomDialer(g))
		}
		return nats.Connect(server.ClientURL(), o...)
	})
	l, lines, failed := started(t, b, client.Options{Recheck: 50 * time.Millisecond})
	await := func(what string, is func() bool) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not %s", what)
			}
		}
	}
	told := b.nc.Stats().InMsgs
	l.op(200, 0, change.Insert, "200", "v", "x")
	l.write()
	await("told of the beginning", func() bool { return b.nc.Stats().InMsgs > told })
	g.set(true)
	await("cut off", func() bool { return !b.nc.IsConnected() })
	l.commit(200, 2)
	l.write()
	g.set(false)
	await("back", b.nc.IsConnected)
	for deadline := time.After(30 * time.Second); ; {
		select {
		case line := <-lines:
			if line == "commit 200_2 1" {
				return
			}
		case err := <-failed:
			t.Fatal(err)
		case <-deadline:
			t.Fatal("the transaction is in the log, which is looked into every 50 ms, and is not shown")
		}
	}
}
