package registry_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/topology"
)

// deaf stores what it is given, and loses answers.
type deaf struct {
	jetstream.JetStream

	publish, create atomic.Int32 // answers still to be lost
}

func (d *deaf) Publish(ctx context.Context, subject string, data []byte, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	ack, err := d.JetStream.Publish(ctx, subject, data, opts...)
	if err == nil && d.publish.Add(-1) >= 0 {
		return nil, nats.ErrTimeout
	}
	return ack, err
}

func (d *deaf) KeyValue(ctx context.Context, bucket string) (jetstream.KeyValue, error) {
	kv, err := d.JetStream.KeyValue(ctx, bucket)
	return &deafBucket{kv, d}, err
}

type deafBucket struct {
	jetstream.KeyValue

	d *deaf
}

func (b *deafBucket) Create(ctx context.Context, key string, value []byte, opts ...jetstream.KVCreateOpt) (uint64, error) {
	rev, err := b.KeyValue.Create(ctx, key, value, opts...)
	if err == nil && b.d.create.Add(-1) >= 0 {
		return 0, nats.ErrTimeout
	}
	return rev, err
}

// TestALostAnswerDoesNotCostTheLease: each of these is stored, and the answer is lost. What the
// key holds tells whose the lease is.
func TestALostAnswerDoesNotCostTheLease(t *testing.T) {
	t.Parallel()
	ctx, js, _ := open(t)
	kv, err := js.KeyValue(ctx, source.LeaseBucket())
	ok(t, err)
	revision := func(key string) uint64 {
		e, err := kv.Get(ctx, key)
		ok(t, err)
		return e.Revision()
	}
	// hold renews until the key has another revision than now, and gives the lease back.
	hold := func(t *testing.T, l *registry.Lease, key string, renewals int) {
		t.Helper()
		holding, release := context.WithCancel(ctx)
		defer release()
		held := make(chan error, 1)
		go func() { held <- l.Hold(holding) }()
		for range renewals {
			for was := revision(key); revision(key) == was; {
				select {
				case err := <-held:
					t.Fatalf("it ended with the lease in its name: %v", err)
				case <-time.After(50 * time.Millisecond):
				case <-ctx.Done():
					t.Fatal(ctx.Err())
				}
			}
		}
		release()
		ok(t, <-held)
		if _, err := kv.Get(ctx, key); !errors.Is(err, jetstream.ErrKeyNotFound) {
			t.Errorf("the lease is not given back: %v", err)
		}
	}

	t.Run("of a renewal", func(t *testing.T) {
		t.Parallel()
		d := &deaf{JetStream: js}
		l, err := new(registry.Applicant).Acquire(ctx, d, source, "renewal", "me")
		ok(t, err)
		d.publish.Store(1)
		hold(t, l, "renewal", 3)
	})
	t.Run("of the acquisition", func(t *testing.T) {
		t.Parallel()
		d := &deaf{JetStream: js}
		d.create.Store(1)
		l, err := new(registry.Applicant).Acquire(ctx, d, source, "acquisition", "me")
		ok(t, err)
		hold(t, l, "acquisition", 1)
	})
	t.Run("of the last renewal before it is given back", func(t *testing.T) {
		t.Parallel()
		d := &deaf{JetStream: js}
		l, err := new(registry.Applicant).Acquire(ctx, d, source, "last", "me")
		ok(t, err)
		d.publish.Store(1)
		hold(t, l, "last", 1)
	})
	t.Run("another life of the same name is somebody else", func(t *testing.T) {
		t.Parallel()
		was, err := new(registry.Applicant).Acquire(ctx, js, source, "namesake", "me")
		ok(t, err)
		ok(t, kv.Purge(ctx, "namesake"))
		_, err = new(registry.Applicant).Acquire(ctx, js, source, "namesake", "me")
		ok(t, err)
		if _, err := new(registry.Applicant).Acquire(ctx, js, source, "namesake", "me"); !errors.Is(err, registry.ErrLeaseHeld) {
			t.Errorf("taken twice: %v", err)
		}
		began := time.Now()
		if err := was.Hold(ctx); !errors.Is(err, registry.ErrLeaseLost) {
			t.Errorf("%v, want ErrLeaseLost", err)
		}
		if took := time.Since(began); took > topology.LeaseTTL/2 {
			t.Errorf("it took %s to notice", took)
		}
	})
}
