package registry

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/topology"
)

// Silence is how long a key must not have been renewed to be nobody's.
const Silence = silence

// AcquireAt is Acquire at a given time.
func (a *Applicant) AcquireAt(ctx context.Context, js jetstream.JetStream, source topology.Source, key, me string, now time.Time) (*Lease, error) {
	return a.acquire(ctx, js, source, key, me, now)
}

// SetWatchSilence changes how long a watcher waits. It returns what puts the old value back.
func SetWatchSilence(d time.Duration) (restore func()) {
	old := watchSilence
	watchSilence = d
	return func() { watchSilence = old }
}

// Revision is the record's revision in the bucket.
func (s *Shape) Revision() uint64 { return s.revision }
