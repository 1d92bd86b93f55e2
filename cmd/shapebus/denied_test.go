package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
)

// An app's user need not be allowed to ask for the source's status, which is asked for when the creation of a shape stands still.
func TestAStatusThatIsDeniedEndsNoCommand(t *testing.T) {
	t.Parallel()
	server := natstest.StartConfigured(t, `authorization { users: [{ user: app, password: right, permissions: { publish: { deny: ["shapebus.main.source.*"] } } }] }`)
	nc, err := server.Connect(nats.UserInfo("app", "right"))
	if err != nil {
		t.Fatal(err)
	}
	url := nc.ConnectedUrl()
	nc.Close()
	f := &clientFlags{sourceFlags: sourceFlags{Source: "main"}}
	f.NATS.URL, f.NATS.User, f.NATS.Password = url, "app", "right"
	out := &console{stdout: os.Stdout, stderr: os.Stderr, log: slog.New(slog.DiscardHandler)}
	err = f.with(t.Context(), out, "test", func(ctx context.Context, cl *client.Client) error {
		_, err := cl.Status(ctx)
		if !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("the status: %v", err)
		}
		if _, err := cl.List(ctx); !errors.Is(err, nats.ErrNoResponders) || context.Cause(ctx) != nil {
			t.Errorf("behind it: %v, %v", err, context.Cause(ctx))
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	err = f.with(t.Context(), out, "test", func(ctx context.Context, cl *client.Client) error {
		_, err := cl.Status(ctx)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "grant this NATS user the right") {
		t.Errorf("who wants the status is told %v", err)
	}
}

// The control plane answers for the shape, and nobody for the status.
func TestAStatusThatDoesNotComeHoldsUpNoCommand(t *testing.T) {
	t.Parallel()
	nc, err := natstest.StartConfigured(t, "debug: false").Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	asked, once := make(chan struct{}), sync.Once{}
	handle := func(m *nats.Msg) {
		s := control.Shape{
			ID: "0123456789abcdef", Handle: "0123456789abcdef-a", State: control.StateCreating, Schema: "public", Table: "t",
			Columns: []control.Column{{Name: "id", TypeName: "int4", Key: true}}, HasKey: true,
		}
		select {
		case <-asked:
			s.State = control.StateLive
		default:
		}
		data, err := json.Marshal(s)
		if err != nil {
			t.Error(err)
		}
		_ = m.Respond(data)
	}
	for endpoint, f := range map[string]nats.MsgHandler{
		control.EndpointCreate: handle, control.EndpointGet: handle,
		control.EndpointStatus: func(*nats.Msg) { once.Do(func() { close(asked) }) },
	} {
		if _, err := nc.Subscribe("shapebus.main."+endpoint, f); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	f := &clientFlags{sourceFlags: sourceFlags{Source: "main"}}
	f.NATS.URL = nc.ConnectedUrl()
	out := &console{stdout: os.Stdout, stderr: os.Stderr, log: slog.New(slog.DiscardHandler)}
	err = f.with(t.Context(), out, "test", func(ctx context.Context, cl *client.Client) error {
		s, err := cl.Create(ctx, client.Definition{Table: "t"})
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second) // the answer itself is waited for 30 s
		defer cancel()
		_, err = waitLive(ctx, out, cl, s, 0)
		return err
	})
	if err != nil {
		t.Errorf("the shape is live: %v", err)
	}
}
