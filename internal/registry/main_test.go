package registry_test

import (
	"context"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
	"github.com/shapebus/shapebus/pkg/shape"
	"github.com/shapebus/shapebus/pkg/topology"
)

const (
	source   = topology.Source("main")
	patience = time.Minute
)

func ok(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// open gives a registry on a server of its own.
func open(t *testing.T) (context.Context, jetstream.JetStream, *registry.Shapes) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs JetStream; not in -short")
	}
	ctx := within(t)
	_, js := natstest.Conn(t)
	ok(t, source.EnsureRegistry(ctx, js, 1))
	shapes, err := registry.OpenShapes(ctx, js, source)
	ok(t, err)
	return ctx, js, shapes
}

// id makes an id of a short name, in the order of the names.
func id(name string) string {
	h := hex.EncodeToString([]byte(name))
	return strings.Repeat("0", 16-len(h)) + h
}

func record(id string) *registry.Shape {
	return &registry.Shape{
		ID: id, Handle: id + "-1", Partition: 3, State: control.StateCreating, Created: time.UnixMicro(1700000000123456).UTC(),
		Definition: shape.Definition{Schema: "public", Table: "tasks", Columns: []string{"id"}},
	}
}
