package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/pg/prepare"
	"github.com/shapebus/shapebus/pkg/topology"
)

// Prepared is what is known of a table that was prepared for shapes. It is stored before the table
// is changed and removed when the table has been given back, so no crash leaves a changed table of which nobody knows.
type Prepared struct {
	prepare.Prior

	// Idle is since when no shape is on the table; zero while one is.
	Idle time.Time `json:"idle,omitzero"`
	// Leaving says that the table is being given back: who wants it waits for that and prepares it again.
	Leaving bool `json:"leaving,omitempty"`

	revision uint64
}

// PreparedTables is the part of the bucket of relations that holds them. Safe for concurrent use.
type PreparedTables struct{ kv jetstream.KeyValue }

// OpenPrepared opens the source's bucket, which must exist.
func OpenPrepared(ctx context.Context, js jetstream.JetStream, source topology.Source) (*PreparedTables, error) {
	kv, err := open(ctx, js, source.RelationBucket())
	if err != nil {
		return nil, err
	}
	return &PreparedTables{kv: kv}, nil
}

// Get returns what is known of a table, nil if nothing is.
func (r *PreparedTables) Get(ctx context.Context, oid uint32) (*Prepared, error) {
	e, err := r.kv.Get(ctx, topology.PreparedKey(oid))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what table %d was: %w", oid, err)
	}
	return decodePrepared(e)
}

// Put stores a new record, or one that was read before and not changed by anybody since; else it
// returns ErrConflict and changes nothing.
func (r *PreparedTables) Put(ctx context.Context, p *Prepared) error {
	data, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("store what table %s was: %w", p, err)
	}
	var revision uint64
	if p.revision == 0 {
		revision, err = r.kv.Create(ctx, topology.PreparedKey(p.OID), data)
	} else {
		revision, err = r.kv.Update(ctx, topology.PreparedKey(p.OID), data, p.revision)
	}
	if err != nil {
		return fmt.Errorf("store what table %s was: %w", p, conflict(err))
	}
	p.revision = revision
	return nil
}

// Delete removes a record that nobody has changed since it was read or put.
func (r *PreparedTables) Delete(ctx context.Context, p *Prepared) error {
	if err := r.kv.Delete(ctx, topology.PreparedKey(p.OID), jetstream.LastRevision(p.revision)); err != nil {
		return fmt.Errorf("remove what table %s was: %w", p, conflict(err))
	}
	return nil
}

// Watch calls f with every record and then with every change, nil for one that was removed, until
// ctx ends. A record that cannot be read is told as err.
func (r *PreparedTables) Watch(ctx context.Context, f func(key string, p *Prepared, err error)) error {
	err := watch(ctx, r.kv, topology.PreparedKeys, 0, func(e jetstream.KeyValueEntry) {
		switch {
		case e == nil: // all that existed at the start has been seen
		case e.Operation() != jetstream.KeyValuePut:
			f(e.Key(), nil, nil)
		default:
			p, err := decodePrepared(e)
			f(e.Key(), p, err)
		}
	})
	if err != nil {
		return fmt.Errorf("watch prepared tables: %w", err)
	}
	return nil
}

func decodePrepared(e jetstream.KeyValueEntry) (*Prepared, error) {
	p := &Prepared{revision: e.Revision()}
	if err := json.Unmarshal(e.Value(), p); err != nil {
		return nil, fmt.Errorf("what a table was cannot be read: %w; with `nats kv del %s %s` it stays prepared when its shapes have gone", err, e.Bucket(), e.Key())
	}
	if topology.PreparedKey(p.OID) != e.Key() {
		return nil, fmt.Errorf("read what a table was (key %s): it is that of table %d", e.Key(), p.OID)
	}
	return p, nil
}
