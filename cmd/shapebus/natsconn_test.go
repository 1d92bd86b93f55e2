package main

import (
	"log/slog"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/shapebus/shapebus/pkg/natsembed"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
)

// A server that is killed, or a proxy in front of one that is not there, takes a connection and closes it.
func TestAServiceWaitsForAServerThatGoesAway(t *testing.T) {
	for name, greeting := range map[string]string{
		"before it says anything": "", "in the middle of its greeting": `INFO {"server_id":"A","ver`,
		"behind its greeting": `INFO {"server_id":"A","version":"2.12.0","proto":1,"max_payload":1048576}` + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() {
				t.Skip("starts a NATS server; not in -short")
			}
			port, err := natstest.FreePort(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			first, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			if err != nil {
				t.Fatal(err)
			}
			met := make(chan struct{})
			go func() {
				defer close(met)
				conn, err := first.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Write([]byte(greeting))
				_ = conn.Close()
				_ = first.Close()
			}()
			served := make(chan error, 1)
			go func() {
				<-met
				s, err := natsembed.Start(natsembed.Options{Port: port, Dir: t.TempDir()})
				if err == nil {
					t.Cleanup(s.Stop)
				}
				served <- err
			}()
			f := &natsFlags{URL: "nats://" + first.Addr().String()}
			nc, err := f.await(t.Context(), slog.New(slog.DiscardHandler), "test", nil)
			if err != nil {
				t.Fatalf("the service gave up: %v", err)
			}
			nc.Close()
			select {
			case err := <-served:
				if err != nil {
					t.Fatal(err)
				}
			case <-time.After(30 * time.Second):
				t.Fatal("no server was started")
			}
		})
	}
}
