package ingest

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// relations writes table schemas to the source's bucket. What it remembers
// lives as long as a session, because the bucket may have been lost between
// two. Not safe for concurrent use.
type relations struct {
	kv     jetstream.KeyValue
	known  map[string]bool   // fingerprints that the bucket holds
	newest map[uint32]string // per table
}

func newRelations(kv jetstream.KeyValue) *relations {
	return &relations{kv: kv, known: map[string]bool{}, newest: map[uint32]string{}}
}

// describe stores a relation under its fingerprint. If readers know of another
// one as the newest, it returns the entry that tells them; see renew. A table
// seen for the first time needs none.
func (r *relations) describe(ctx context.Context, rel *change.Relation, fingerprint string) (*wire.Control, error) {
	if err := r.store(ctx, rel, fingerprint); err != nil {
		return nil, err
	}
	newest, ok := r.newest[rel.OID]
	if !ok {
		e, err := r.kv.Get(ctx, topology.OIDKey(rel.OID))
		switch {
		case err == nil:
			newest = string(e.Value())
		case errors.Is(err, jetstream.ErrKeyNotFound):
			if err := r.renew(ctx, rel.OID, fingerprint); err != nil {
				return nil, err
			}
			newest = fingerprint
		default:
			return nil, fmt.Errorf("read the newest schema of %s.%s: %w", rel.Schema, rel.Name, err)
		}
		r.newest[rel.OID] = newest
	}
	if newest == fingerprint {
		return nil, nil
	}
	return &wire.Control{
		Kind: wire.ControlRelation, OID: rel.OID, Relation: fingerprint,
		Reason: r.reason(ctx, newest, rel),
	}, nil
}

func (r *relations) store(ctx context.Context, rel *change.Relation, fingerprint string) error {
	if r.known[fingerprint] {
		return nil
	}
	e, err := r.kv.Get(ctx, fingerprint)
	missing := errors.Is(err, jetstream.ErrKeyNotFound)
	if err == nil {
		_, damaged := wire.DecodeRelation(e.Value())
		missing = damaged != nil
	}
	if missing {
		var body []byte
		if body, err = wire.EncodeRelation(rel); err == nil {
			_, err = r.kv.Put(ctx, fingerprint, body)
		}
	}
	if err != nil {
		return fmt.Errorf("store the schema of %s.%s: %w", rel.Schema, rel.Name, err)
	}
	r.known[fingerprint] = true
	return nil
}

// reason says in words what changed. The older relation is only needed for that.
func (r *relations) reason(ctx context.Context, older string, rel *change.Relation) string {
	if e, err := r.kv.Get(ctx, older); err == nil {
		if old, err := wire.DecodeRelation(e.Value()); err == nil {
			if d := old.Diff(rel); d != "" {
				return d
			}
		}
	}
	return fmt.Sprintf("the columns of %s.%s changed", rel.Schema, rel.Name)
}

// renew makes a relation the newest one of its table.
func (r *relations) renew(ctx context.Context, oid uint32, fingerprint string) error {
	if _, err := r.kv.PutString(ctx, topology.OIDKey(oid), fingerprint); err != nil {
		return fmt.Errorf("store the newest schema of table %d: %w", oid, err)
	}
	r.newest[oid] = fingerprint
	return nil
}
