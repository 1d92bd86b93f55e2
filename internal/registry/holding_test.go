package registry_test

import (
	"context"
	"errors"
	"maps"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/topology"
)

func TestALeaseHasOneHolder(t *testing.T) {
	ctx, js, _ := open(t)
	h, err := registry.OpenHoldings(ctx, js, source, "worker")
	ok(t, err)
	other, err := registry.OpenHoldings(ctx, js, source, "reader")
	ok(t, err)
	me, you := registry.NewMember("me"), registry.NewMember("you")

	mine, err := h.Take(ctx, 1, me, registry.Holding{})
	ok(t, err)
	if _, err := h.Take(ctx, 1, you, registry.Holding{}); !errors.Is(err, registry.ErrHeld) {
		t.Errorf("a second holder: %v, want ErrHeld", err)
	}
	for _, take := range []func() (registry.Holding, error){
		func() (registry.Holding, error) { return h.Take(ctx, 2, you, registry.Holding{}) },
		func() (registry.Holding, error) { return other.Take(ctx, 1, you, registry.Holding{}) },
	} {
		_, err := take()
		ok(t, err)
	}
	all, err := h.List(ctx)
	ok(t, err)
	if want := map[int]registry.Member{1: me, 2: you}; !maps.Equal(all, want) {
		t.Errorf("held: %v, want %v", all, want)
	}

	t.Log("one whose holder is gone is taken as it was seen, once")
	ok(t, h.Verify(ctx, 1, mine))
	yours, err := h.Take(ctx, 1, you, mine)
	ok(t, err)
	if err := h.Verify(ctx, 1, mine); !errors.Is(err, registry.ErrHeld) {
		t.Errorf("the holder before: %v, want ErrHeld", err)
	}
	if _, err := h.Take(ctx, 1, me, mine); !errors.Is(err, registry.ErrHeld) {
		t.Errorf("with what was seen before: %v, want ErrHeld", err)
	}
	ok(t, h.Give(ctx, 1, mine)) // it is not his to give
	ok(t, h.Verify(ctx, 1, yours))

	t.Log("one that is given back is free at once")
	ok(t, h.Give(ctx, 1, yours))
	if err := h.Verify(ctx, 1, yours); !errors.Is(err, registry.ErrHeld) {
		t.Errorf("what was given back: %v, want ErrHeld", err)
	}
	_, err = h.Take(ctx, 1, me, registry.Holding{})
	ok(t, err)
}

// TestALeaseThatSaysNothingIsTaken: whatever stands in a lease's record, who sees it can take it, or the partition would be nobody's
// for good.
func TestALeaseThatSaysNothingIsTaken(t *testing.T) {
	ctx, js, _ := open(t)
	h, err := registry.OpenHoldings(ctx, js, source, "worker")
	ok(t, err)
	kv, err := js.KeyValue(ctx, source.LeaseBucket())
	ok(t, err)
	for p, text := range []string{"", " ", "hi", "\x00\xff", " leaving", "a > leaving"} {
		_, err := kv.Put(ctx, topology.HoldingKey("worker", p), []byte(text))
		ok(t, err)
		var seen registry.Holding
		watching, enough := context.WithCancel(ctx)
		ok(t, h.Watch(watching, func(at int, now registry.Holding) {
			if at == p {
				seen = now
			}
		}, enough))
		if _, err := h.Take(ctx, p, registry.NewMember("me"), seen); err != nil {
			t.Errorf("%q, seen as %+v: %v", text, seen, err)
		}
	}
}

// deaf stores what it is given, and loses answers.
type deaf struct {
	jetstream.JetStream

	lose atomic.Int32 // answers still to be lost
}

func (d *deaf) KeyValue(ctx context.Context, bucket string) (jetstream.KeyValue, error) {
	kv, err := d.JetStream.KeyValue(ctx, bucket)
	return &deafBucket{kv, d}, err
}

type deafBucket struct {
	jetstream.KeyValue

	d *deaf
}

func (b *deafBucket) answer(rev uint64, err error) (uint64, error) {
	if err == nil && b.d.lose.Add(-1) >= 0 {
		return 0, nats.ErrTimeout
	}
	return rev, err
}

func (b *deafBucket) Create(ctx context.Context, key string, value []byte, opts ...jetstream.KVCreateOpt) (uint64, error) {
	return b.answer(b.KeyValue.Create(ctx, key, value, opts...))
}

func (b *deafBucket) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	return b.answer(b.KeyValue.Update(ctx, key, value, revision))
}

// TestALostAnswerDoesNotCostTheLease: each of these is stored, and the answer is lost. What the
// key holds tells whose the lease is.
func TestALostAnswerDoesNotCostTheLease(t *testing.T) {
	ctx, js, _ := open(t)
	d := &deaf{JetStream: js}
	h, err := registry.OpenHoldings(ctx, d, source, "worker")
	ok(t, err)
	me, you := registry.NewMember("me"), registry.NewMember("you")
	d.lose.Store(1)
	mine, err := h.Take(ctx, 1, me, registry.Holding{})
	ok(t, err)
	ok(t, h.Verify(ctx, 1, mine))
	d.lose.Store(1)
	yours, err := h.Take(ctx, 1, you, mine)
	ok(t, err)
	ok(t, h.Verify(ctx, 1, yours))
	ok(t, h.Give(ctx, 1, yours))
}
