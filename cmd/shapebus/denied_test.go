package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/pkg/client"
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
