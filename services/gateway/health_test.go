package gateway

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/natsembed"
)

func TestAGatewayIsReadyWhenItsSourceAndPostgresAre(t *testing.T) {
	if testing.Short() {
		t.Skip("needs JetStream; not in -short")
	}
	server, err := natsembed.Start(natsembed.Options{Dir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	nc, err := server.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	start := func(database string) *Gateway {
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		g, err := New(Config{Source: "main", NATS: nc, Listener: listener, DatabaseURL: database})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- g.Run(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
		return g
	}
	const bucket, postgres = "bucket SB-main-shapes is not there", "Postgres: "
	with, without := start("postgres://nobody@127.0.0.1:1/nothing"), start("")
	says := func(g *Gateway, reasons ...string) {
		t.Helper()
		deadline := time.Now().Add(30 * time.Second)
		for tick := time.Tick(10 * time.Millisecond); ; <-tick {
			text := ""
			if err := g.Health().Ready(time.Now()); err != nil {
				text = err.Error()
			}
			right := (text == "") == (len(reasons) == 0)
			for _, reason := range []string{bucket, postgres} {
				wanted := strings.Contains(strings.Join(reasons, "; "), reason)
				right = right && strings.Contains(text, reason) == wanted
			}
			if right {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("it says %q, want %q", text, reasons)
			}
		}
	}
	says(with, bucket, postgres)
	says(without, bucket)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "SB-main-shapes"}); err != nil {
		t.Fatal(err)
	}
	says(with, postgres)
	says(without)
}
