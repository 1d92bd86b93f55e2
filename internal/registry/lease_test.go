package registry_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/topology"
)

func TestALeaseHasOneHolder(t *testing.T) {
	ctx, js, _ := open(t)
	mine, err := new(registry.Applicant).Acquire(ctx, js, source, topology.MaterializerKey(1), "me")
	ok(t, err)
	if _, err := new(registry.Applicant).Acquire(ctx, js, source, topology.MaterializerKey(1), "you"); !errors.Is(err, registry.ErrLeaseHeld) || !strings.Contains(err.Error(), "me") {
		t.Errorf("%v, want ErrLeaseHeld with the holder's name", err)
	}
	_, err = new(registry.Applicant).Acquire(ctx, js, source, topology.MaterializerKey(2), "you")
	ok(t, err)

	t.Log("a lease given back can be taken at once")
	holding, release := context.WithCancel(ctx)
	release()
	ok(t, mine.Hold(holding))
	yours, err := new(registry.Applicant).Acquire(ctx, js, source, topology.MaterializerKey(1), "you")
	ok(t, err)
	holding, release = context.WithCancel(ctx)
	release()
	ok(t, yours.Hold(holding))
}

// A server that lost its latest writes may keep a key for ever whose holder died.
func TestAKeyThatNobodyRenewsIsNobodys(t *testing.T) {
	ctx, js, _ := open(t)
	kv, err := js.KeyValue(ctx, source.LeaseBucket())
	ok(t, err)
	_, err = kv.Put(ctx, "stale", []byte("the dead X")) // without a TTL
	ok(t, err)
	began := time.Now()
	var you registry.Applicant
	for _, after := range []time.Duration{0, registry.Silence - time.Millisecond} {
		if _, err := you.AcquireAt(ctx, js, source, "stale", "you", began.Add(after)); !errors.Is(err, registry.ErrLeaseHeld) || !strings.Contains(err.Error(), "the dead") {
			t.Errorf("%v after %s, want ErrLeaseHeld with the holder's name", err, after)
		}
	}
	_, err = kv.Put(ctx, "stale", []byte("the dead X")) // it lives
	ok(t, err)
	at := began.Add(registry.Silence)
	if _, err := you.AcquireAt(ctx, js, source, "stale", "you", at); !errors.Is(err, registry.ErrLeaseHeld) {
		t.Errorf("%v right after a renewal, want ErrLeaseHeld", err)
	}
	var third registry.Applicant
	_, err = third.AcquireAt(ctx, js, source, "stale", "third", at)
	if !errors.Is(err, registry.ErrLeaseHeld) {
		t.Errorf("%v, want ErrLeaseHeld", err)
	}
	at = at.Add(registry.Silence)
	mine, err := you.AcquireAt(ctx, js, source, "stale", "you", at)
	ok(t, err)
	if _, err := third.AcquireAt(ctx, js, source, "stale", "third", at); !errors.Is(err, registry.ErrLeaseHeld) || !strings.Contains(err.Error(), "you") {
		t.Errorf("%v, want ErrLeaseHeld by the one who was there first", err)
	}
	holding, release := context.WithCancel(ctx)
	release()
	ok(t, mine.Hold(holding))
}

// These wait for real leases to run out, all at the same time.
func TestLeasesRunOut(t *testing.T) {
	t.Parallel()
	ctx, js, _ := open(t)
	acquire := func(key, me string) *registry.Lease {
		l, err := new(registry.Applicant).Acquire(ctx, js, source, key, me)
		ok(t, err)
		return l
	}
	asleep, awake := acquire("asleep", "me"), acquire("awake", "me")
	began := time.Now()
	holding, release := context.WithCancel(ctx)
	defer release()
	held := make(chan error, 1)
	go func() { held <- awake.Hold(holding) }()

	kv, err := js.KeyValue(ctx, source.LeaseBucket())
	ok(t, err)
	gone, err := kv.Watch(ctx, "asleep")
	ok(t, err)
	defer gone.Stop() //nolint:errcheck // it ends with the connection
	for e := range gone.Updates() {
		if e != nil && len(e.Value()) == 0 {
			break
		}
	}
	if took := time.Since(began); took < topology.LeaseTTL-time.Second || took > topology.LeaseTTL+5*time.Second {
		t.Errorf("a lease that nobody renewed ran out after %s, want %s", took, topology.LeaseTTL)
	}

	t.Run("a renewed one does not", func(t *testing.T) {
		if _, err := new(registry.Applicant).Acquire(ctx, js, source, "awake", "you"); !errors.Is(err, registry.ErrLeaseHeld) {
			t.Errorf("%v, want ErrLeaseHeld", err)
		}
	})
	successor := acquire("asleep", "you")
	t.Run("who wakes up behind its end has lost it and takes it from nobody", func(t *testing.T) {
		if err := asleep.Hold(ctx); !errors.Is(err, registry.ErrLeaseLost) {
			t.Errorf("%v, want ErrLeaseLost", err)
		}
		done, cancel := context.WithCancel(ctx)
		cancel()
		if err := asleep.Hold(done); err == nil {
			t.Error("it gave back another's lease")
		}
		if _, err := new(registry.Applicant).Acquire(ctx, js, source, "asleep", "third"); !errors.Is(err, registry.ErrLeaseHeld) || !strings.Contains(err.Error(), "you") {
			t.Errorf("%v, want ErrLeaseHeld by the successor", err)
		}
		ok(t, successor.Hold(done))
	})
	release()
	ok(t, <-held)
	ok(t, acquire("awake", "you").Hold(holding))
}
