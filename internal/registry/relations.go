package registry

import (
	"context"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// Relations reads table schemas by fingerprint. A fingerprint names one
// schema for ever, so what was read once is kept. Safe for concurrent use.
type Relations struct {
	kv jetstream.KeyValue

	mu    sync.Mutex
	known map[string]*change.Relation
}

// OpenRelations opens the source's bucket, which ingest must have created.
func OpenRelations(ctx context.Context, js jetstream.JetStream, source topology.Source) (*Relations, error) {
	kv, err := open(ctx, js, source.RelationBucket())
	if err != nil {
		return nil, err
	}
	return &Relations{kv: kv, known: map[string]*change.Relation{}}, nil
}

// Get returns the schema with a fingerprint. Ingest stores a schema before the
// first fragment that names it. ErrUnreadable says that what is stored is none.
func (r *Relations) Get(ctx context.Context, fingerprint string) (*change.Relation, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rel := r.known[fingerprint]; rel != nil {
		return rel, nil
	}
	if !change.IsFingerprint(fingerprint) { // a subject that is too long, say, would cost the connection
		return nil, fmt.Errorf("read schema %.40q: that is no fingerprint", fingerprint)
	}
	e, err := r.kv.Get(ctx, fingerprint)
	if err != nil {
		return nil, fmt.Errorf("read schema %s: %w", fingerprint, err)
	}
	rel, err := wire.DecodeRelation(e.Value())
	if err != nil {
		return nil, fmt.Errorf("schema %s: %w: %w; ingest writes it again when it is restarted", fingerprint, ErrUnreadable, err)
	}
	r.known[fingerprint] = rel
	return rel, nil
}
