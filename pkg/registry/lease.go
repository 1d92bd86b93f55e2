package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/topology"
)

// Errors of leases.
var (
	// ErrLeaseHeld says that somebody else holds the lease.
	ErrLeaseHeld = errors.New("somebody else holds the lease")
	// ErrLeaseLost says that the lease ran out before it was renewed.
	ErrLeaseLost = errors.New("the lease ran out before it was renewed")
)

// Lease is a right held for topology.LeaseTTL at a time. It keeps well-behaved
// processes apart; what keeps a process apart that was asleep while its lease
// ran out is the expected sequence of its writes (see package stream).
type Lease struct {
	js     jetstream.JetStream
	kv     jetstream.KeyValue
	bucket string
	key    string
	me     string
	rev    uint64
	asked  chan chan error // for Verify
}

// AcquireLease takes a lease that nobody holds, in the name of me, or returns
// ErrLeaseHeld with the holder's name in the text.
func AcquireLease(ctx context.Context, js jetstream.JetStream, source topology.Source, key, me string) (*Lease, error) {
	kv, err := js.KeyValue(ctx, source.LeaseBucket())
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", source.LeaseBucket(), err)
	}
	rev, err := kv.Create(ctx, key, []byte(me), jetstream.KeyTTL(topology.LeaseTTL))
	if errors.Is(err, jetstream.ErrKeyExists) {
		holder := "unknown"
		if e, err := kv.Get(ctx, key); err == nil {
			holder = string(e.Value())
		}
		return nil, fmt.Errorf("lease %s: %w: %s", key, ErrLeaseHeld, holder)
	}
	if err != nil {
		return nil, fmt.Errorf("acquire lease %s: %w", key, topology.Explain(err))
	}
	return &Lease{js: js, kv: kv, bucket: source.LeaseBucket(), key: key, me: me, rev: rev, asked: make(chan chan error)}, nil
}

// Hold renews the lease until ctx ends, then gives it back and returns nil. It
// returns an error when the lease is lost.
func (l *Lease) Hold(ctx context.Context) error {
	t := time.NewTicker(topology.LeaseTTL / 4)
	defer t.Stop()
	renewed := time.Now()
	for {
		var answer chan<- error
		select {
		case <-ctx.Done():
			release, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			if err := l.kv.Delete(release, l.key, jetstream.LastRevision(l.rev)); err != nil {
				return fmt.Errorf("give back lease %s: %w", l.key, err)
			}
			return nil
		case <-t.C:
		case answer = <-l.asked:
		}
		err := l.renew(ctx)
		if answer != nil {
			answer <- err
		}
		switch {
		case err == nil:
			renewed = time.Now()
		case ctx.Err() != nil:
		case errors.Is(err, ErrLeaseLost):
			return fmt.Errorf("lease %s: %w", l.key, err)
		case time.Since(renewed) > topology.LeaseTTL*3/4:
			return fmt.Errorf("lease %s: %w: %w", l.key, ErrLeaseLost, err)
		}
	}
}

// Verify renews the lease that Hold is holding, and returns nil only if nobody
// else has held it up to now. A process may have slept since it last knew.
func (l *Lease) Verify(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case l.asked <- answer:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// renew publishes on the key's subject: KeyValue.Update would drop the TTL.
func (l *Lease) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, topology.LeaseTTL/4)
	defer cancel()
	ack, err := l.js.Publish(ctx, "$KV."+l.bucket+"."+l.key, []byte(l.me),
		jetstream.WithExpectLastSequencePerSubject(l.rev), jetstream.WithMsgTTL(topology.LeaseTTL))
	if err != nil {
		var api *jetstream.APIError
		if errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
			return ErrLeaseLost
		}
		return err
	}
	l.rev = ack.Sequence
	return nil
}
