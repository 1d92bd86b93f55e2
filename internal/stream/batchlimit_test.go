package stream_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
)

// TestTheServerLimitsWhatARequestMayAskFor: a server may allow fewer messages in a request than a reader asks for by itself.
func TestTheServerLimitsWhatARequestMayAskFor(t *testing.T) {
	s, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir(), JetStreamLimits: server.JSLimitOpts{MaxRequestBatch: 1000}})
	ok(t, err)
	s.Start()
	t.Cleanup(s.Shutdown)
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("not ready")
	}
	nc, err := nats.Connect("", nats.InProcessServer(s))
	ok(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	ok(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, AllowDirect: true})
	ok(t, err)
	_, err = js.Publish(ctx, "s.0", []byte("12345678"))
	ok(t, err)
	r, err := stream.OpenReader(ctx, js, "S", 1)
	ok(t, err)
	defer r.Close()
	m, err := r.Next(ctx)
	ok(t, err)
	if string(m.Data) != "12345678" {
		t.Errorf("it read %q", m.Data)
	}
}
