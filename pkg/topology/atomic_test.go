package topology_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
	"github.com/shapebus/shapebus/pkg/topology"
)

func TestServersWithoutAtomicBatches(t *testing.T) {
	for version, old := range map[string]bool{
		"2.11.9": true, "2.9.25": true, "1.4.1": true, "2.12.0": false, "2.12.0-RC.1": false, "2.15.2": false, "3.0.0": false, "main": false, "": false,
	} {
		if got := topology.OldServer(version); got != old {
			t.Errorf("NATS %q is too old: %v, want %v", version, got, old)
		}
	}
}

// forgetful is a server that leaves out what it does not know of a stream's configuration, as
// NATS 2.11 does. Such a server may also be behind the one that we are connected to.
type forgetful struct{ jetstream.JetStream }

func (f forgetful) CreateOrUpdateStream(ctx context.Context, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	cfg.AllowAtomicPublish = false
	return f.JetStream.CreateOrUpdateStream(ctx, cfg)
}

// TestStreamsThatTakeNoAtomicBatchesAreRefused pins I10: the fence is not missing without a word.
func TestStreamsThatTakeNoAtomicBatchesAreRefused(t *testing.T) {
	skipIfShort(t)
	ctx := within(t)
	_, js := natstest.Conn(t)
	for name, ensure := range map[string]func(js jetstream.JetStream) error{
		"change log": func(js jetstream.JetStream) error {
			_, err := source.EnsureChangeLog(ctx, js, topology.History{ID: "h"}, topology.ChangeLogConfig{MaxBytes: -1})
			return err
		},
		"shape logs": func(js jetstream.JetStream) error {
			return source.EnsureShapeLogs(ctx, js, 1, topology.ShapeLogConfig{})
		},
		"verdicts": func(js jetstream.JetStream) error { return source.EnsureVerdicts(ctx, js, 0, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			err := ensure(forgetful{js})
			want := fmt.Sprintf("NATS %d.%d or later", topology.MinServerMajor, topology.MinServerMinor)
			if !errors.Is(err, topology.ErrNoAtomicBatches) || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want a refusal that says %q", err, want)
			}
			ok(t, ensure(js)) // one that was made before its server was upgraded takes them from now on
		})
	}
}
