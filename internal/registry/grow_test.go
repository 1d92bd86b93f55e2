package registry_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/topology"
)

// TestASourceGrows: streams are there before the record says so, everybody hears of it, and it never shrinks.
func TestASourceGrows(t *testing.T) {
	ctx, js, shapes := open(t)
	if _, _, err := shapes.Grow(ctx, source, 4, failpoint.Never); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("without a source: %v", err)
	}
	_, err := shapes.EnsureSource(ctx, registry.Source{Partitions: 2, Publication: "p", Slot: "s"})
	ok(t, err)
	if _, _, err := shapes.Grow(ctx, source, 4, failpoint.Never); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("without partition 0: %v", err)
	}
	ok(t, source.EnsureShapeLogs(ctx, js, 2, topology.ShapeLogConfig{MaxBytes: 1 << 20}))

	known := registry.NewPartitions(2)
	keeping, stop := context.WithCancel(ctx)
	kept := make(chan error, 1)
	go func() { kept <- shapes.KeepPartitions(keeping, known) }()

	t.Log("one that gets no further than the streams")
	func() {
		defer func() { _ = recover() }()
		_, _, _ = shapes.Grow(ctx, source, 4, func(p failpoint.Point) {
			if p == failpoint.BeforeGrown {
				panic(p)
			}
		})
	}()
	if now, err := shapes.Source(ctx); err != nil || now.Partitions != 2 {
		t.Errorf("%+v, %v", now, err)
	}

	t.Log("two at once, and again")
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			if _, now, err := shapes.Grow(ctx, source, 4, failpoint.Never); err != nil || now != (registry.Source{Partitions: 4, Publication: "p", Slot: "s"}) {
				t.Errorf("%+v, %v", now, err)
			}
		})
	}
	group.Wait()
	if was, now, err := shapes.Grow(ctx, source, 4, failpoint.Never); err != nil || was != now || now.Partitions != 4 {
		t.Errorf("%+v, %+v, %v", was, now, err)
	}
	for n, more := known.Now(); n < 4; n, more = known.Now() {
		select {
		case <-more:
		case <-ctx.Done():
			t.Fatal("nobody hears of it")
		}
	}
	if cfg, err := source.ShapeLogConfigOf(ctx, js, 3); err != nil || cfg != (topology.ShapeLogConfig{Replicas: 1, MaxBytes: 1 << 20}) {
		t.Errorf("partition 3 is kept as %+v, %v", cfg, err)
	}

	for partitions, says := range map[int]string{3: "it has 4", 1: "it has 4", topology.MaxPartitions + 1: "at most"} {
		if _, _, err := shapes.Grow(ctx, source, partitions, failpoint.Never); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%d partitions: %v", partitions, err)
		}
	}
	stop()
	ok(t, <-kept)
	known.Raise(3)
	if n := known.Count(); n != 4 {
		t.Errorf("it falls to %d", n)
	}
}
