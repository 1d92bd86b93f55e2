package client_test

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/natsembed"
)

// narrow dials connections from which so many bytes a second can be read.
type narrow int

func (rate narrow) Dial(network, address string) (net.Conn, error) {
	c, err := net.Dial(network, address)
	if err != nil {
		return nil, err
	}
	if err := c.(*net.TCPConn).SetReadBuffer(32 << 10); err != nil { //nolint:errcheck // it is what tcp gives
		return nil, err
	}
	return &narrowConn{c, int(rate)}, nil
}

type narrowConn struct {
	net.Conn

	rate int
}

func (c *narrowConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p[:min(len(p), 16<<10)])
	time.Sleep(time.Duration(n) * time.Second / time.Duration(c.rate))
	return n, err
}

// What readers ask for at once takes longer than an answer may be silent. It comes once: the connection has made requests, and its own
// subscription for answers matches the inboxes that the client library gives to others. The server cuts nobody off.
func TestLogsAreReadOverASlowConnection(t *testing.T) {
	t.Parallel()
	for _, logs := range []int{1, 3} {
		t.Run(fmt.Sprint(logs), func(t *testing.T) {
			t.Parallel()
			server, err := natsembed.Start(natsembed.Options{Dir: t.TempDir(), Port: -1})
			ok(t, err)
			t.Cleanup(server.Stop)
			n := 0
			b := newBenchOn(t, server, func(o ...nats.Option) (*nats.Conn, error) {
				if n++; n == 2 { // the readers'
					o = append(o, nats.SetCustomDialer(narrow(500<<10)))
				}
				return nats.Connect(server.ClientURL(), o...)
			})
			const transactions = 40
			var reading sync.WaitGroup
			for range logs {
				l := b.newLog(columns, true)
				l.info.State = control.StateLive
				b.know(l.info)
				l.snapshot(1)
				l.write()
				for i := range uint64(transactions) {
					lsn := 200 + i
					l.op(lsn, 0, change.Insert, "200", "v", strings.Repeat("x", 100<<10)) // 4 MB in all
					l.commit(lsn, 2)
					l.write()
				}
				shape := l.open()
				reading.Go(func() {
					commits := 0
					for e, err := range shape.Subscribe(client.Beginning(), client.Options{}).Events(t.Context()) {
						switch e := e.(type) {
						case client.Stalled:
							t.Errorf("it stalls: %v", e.Err)
						case client.Commit:
							commits++
						}
						if err != nil {
							t.Error(err)
						}
						if err != nil || commits == 1+transactions { // the snapshot's, too
							return
						}
					}
				})
			}
			began := time.Now()
			reading.Wait()
			stats := b.nc.Stats()
			t.Logf("read in %s, %d bytes came", time.Since(began).Round(time.Millisecond), stats.InBytes)
			if most := uint64(logs * transactions * 125 << 10); stats.InBytes > most {
				t.Errorf("%d bytes came, at most %d were to: they were asked for again, or sent twice", stats.InBytes, most)
			}
			if stats.Reconnects > 0 {
				t.Errorf("the server cut the connection %d times", stats.Reconnects)
			}
		})
	}
}
