package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
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
//
// The key's value is the holder's name and, behind a space, an incarnation that no other lease
// has: when an answer is lost, the key tells whether the request was stored.
type Lease struct {
	js     jetstream.JetStream
	kv     jetstream.KeyValue
	bucket string
	key    string
	value  string
	rev    uint64
	asked  chan chan error // for Verify
}

// Applicant asks for one lease from time to time, until it has it. Owned by one goroutine; the zero value is ready.
//
// The server drops the key of a holder that is gone. A server that lost its latest writes may not know any more
// that it has to, so a key that nobody renews while the applicant looks at it for silence is nobody's, too.
type Applicant struct {
	held  uint64    // revision of the key, when it was looked at last
	since time.Time // when the key was seen at that revision first
}

// silence is half as long again as a holder may go without a renewal.
const silence = topology.LeaseTTL * 3 / 2

// Acquire takes a lease that nobody holds, in the name of me, or returns
// ErrLeaseHeld with the holder's name in the text.
func (a *Applicant) Acquire(ctx context.Context, js jetstream.JetStream, source topology.Source, key, me string) (*Lease, error) {
	return a.acquire(ctx, js, source, key, me, time.Now())
}

func (a *Applicant) acquire(ctx context.Context, js jetstream.JetStream, source topology.Source, key, me string, now time.Time) (*Lease, error) {
	kv, err := js.KeyValue(ctx, source.LeaseBucket())
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", source.LeaseBucket(), err)
	}
	l := &Lease{js: js, kv: kv, bucket: source.LeaseBucket(), key: key, value: me + " " + rand.Text(), asked: make(chan chan error)}
	l.rev, err = kv.Create(ctx, key, []byte(l.value), jetstream.KeyTTL(topology.LeaseTTL))
	if err == nil {
		return l, nil
	}
	e, readErr := kv.Get(ctx, key)
	switch {
	case readErr == nil && string(e.Value()) == l.value: // it was stored, and the answer lost
		l.rev = e.Revision()
		return l, nil
	case !errors.Is(err, jetstream.ErrKeyExists):
		return nil, fmt.Errorf("acquire lease %s: %w", key, topology.Explain(err))
	case readErr != nil:
		return nil, fmt.Errorf("lease %s: %w: unknown", key, ErrLeaseHeld)
	}
	if a.silent(e.Revision(), now) {
		l.rev = e.Revision()
		if err := l.renew(ctx); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("lease %s: %w: %s", key, ErrLeaseHeld, holder(e))
}

// silent reports whether the key has not been renewed for silence.
func (a *Applicant) silent(revision uint64, now time.Time) bool {
	if a.held != revision {
		a.held, a.since = revision, now
	}
	return now.Sub(a.since) >= silence
}

func holder(e jetstream.KeyValueEntry) string {
	value := string(e.Value())
	if i := strings.LastIndexByte(value, ' '); i >= 0 {
		return value[:i]
	}
	return value
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
			if err := l.release(release); err != nil {
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

// renew makes the lease last as long as a new one.
func (l *Lease) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, topology.LeaseTTL/4)
	defer cancel()
	return l.asHolder(ctx, func() error {
		// Not KeyValue.Update, which would drop the TTL.
		ack, err := l.js.Publish(ctx, "$KV."+l.bucket+"."+l.key, []byte(l.value),
			jetstream.WithExpectLastSequencePerSubject(l.rev), jetstream.WithMsgTTL(topology.LeaseTTL))
		if err == nil {
			l.rev = ack.Sequence
		}
		return err
	})
}

func (l *Lease) release(ctx context.Context) error {
	return l.asHolder(ctx, func() error { return l.kv.Delete(ctx, l.key, jetstream.LastRevision(l.rev)) })
}

// asHolder calls f, which changes the key if its revision is l.rev. If the revision is another, the
// answer to an earlier change may have been lost: then f is called again with l.rev corrected.
// ErrLeaseLost says that the key is not this lease's any more.
func (l *Lease) asHolder(ctx context.Context, f func() error) error {
	err := f()
	if !conflicts(err) {
		return err
	}
	e, readErr := l.kv.Get(ctx, l.key)
	switch {
	case errors.Is(readErr, jetstream.ErrKeyNotFound):
		return ErrLeaseLost
	case readErr != nil:
		return readErr
	case string(e.Value()) != l.value:
		return ErrLeaseLost
	case e.Revision() <= l.rev:
		return fmt.Errorf("the replica that was asked is behind: %w", err)
	}
	l.rev = e.Revision()
	if err = f(); conflicts(err) {
		return ErrLeaseLost
	}
	return err
}

func conflicts(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}
