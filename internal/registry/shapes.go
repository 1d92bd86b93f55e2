package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/shape"
	"github.com/shapebus/shapebus/pkg/topology"
)

// Errors of Shapes.
var (
	ErrNotFound = errors.New("no such shape")
	// ErrUnreadable says that a record was stored that is none.
	ErrUnreadable = errors.New("its record cannot be read")
	// ErrConflict says that somebody else changed the record first.
	ErrConflict = errors.New("the shape was changed by somebody else meanwhile")
)

// Shape is the record of a shape's present incarnation, keyed by its id.
type Shape struct {
	ID         string           `json:"id"`
	Handle     string           `json:"handle"`
	Partition  int              `json:"partition"`
	Definition shape.Definition `json:"definition"`
	State      control.State    `json:"state"`
	Reason     string           `json:"reason,omitempty"`
	Created    time.Time        `json:"created"`
	Changed    time.Time        `json:"changed"`

	// Table is what the definition was checked against, Structure its digest. Records that were read share their
	// tables, so a table is replaced and never changed.
	Table     *pg.TableInfo `json:"table"`
	Structure string        `json:"structure"`

	// Subqueries are what the clause's subqueries select, in the order of
	// predicate.Predicate.Subqueries; none for a shape without. InnerTables are the
	// tables they select from, at every depth.
	Subqueries  []Subquery      `json:"subqueries,omitempty"`
	InnerTables []*pg.TableInfo `json:"inner_tables,omitempty"`
	// Internal marks an inner shape that no app has asked for: it goes with the
	// last shape that depends on it. Stored under its first name.
	Internal bool `json:"unasked,omitempty"`

	// Set before the log's first entry, so that a successor can go on after it.
	Snapshot    string     `json:"snapshot,omitempty"` // as change.Snapshot prints it
	SnapshotLSN change.LSN `json:"snapshot_lsn,omitempty"`
	StartLSN    change.LSN `json:"start_lsn,omitempty"` // where to read the change log from
	StartSeq    uint64     `json:"start_seq,omitempty"` // hint for StartLSN
	// History is that of the database in which the LSNs above and those of the
	// shape's log are places; "" if it is not known.
	History string `json:"history,omitempty"`
	// SnapshotRows is the number of rows read so far, updated now and then.
	SnapshotRows int64 `json:"snapshot_rows,omitempty"`

	// Fold is a fold of the log that was asked for, or runs; nil for none. Folded is when the last one was done.
	Fold   *Fold     `json:"fold,omitempty"`
	Folded time.Time `json:"folded,omitzero"`

	revision uint64
}

// Fold is a fold of a shape's log. A consumer that dies leaves what it told of it; its successor begins again.
type Fold struct {
	Asked time.Time `json:"asked,omitzero"`  // by a person; else it was due
	Began time.Time `json:"began,omitzero"`  // zero while it has not begun
	Rows  int64     `json:"rows,omitempty"`  // read so far
	Error string    `json:"error,omitempty"` // why the last attempt failed
}

// Subquery says which values a subquery of a shape selects: those of some
// columns of another shape, the inner one.
type Subquery struct {
	ID        string `json:"id"`     // of the inner shape
	Handle    string `json:"handle"` // of the incarnation that this shape depends on
	Partition int    `json:"partition"`
	Columns   []int  `json:"columns"` // places among the inner shape's columns, in the order selected
	// Unit says that the inner shape has subqueries itself, so that its commit
	// markers may cover several transactions.
	Unit bool `json:"unit,omitempty"`
}

// ValueSet is the name of the set of values; see topology.ValueSet.
func (q Subquery) ValueSet() string { return topology.ValueSet(q.Handle, q.Columns) }

// Shapes is the bucket of shapes. Safe for concurrent use.
type Shapes struct {
	js     jetstream.JetStream
	kv     jetstream.KeyValue
	tables tables
}

// OpenShapes opens the source's bucket, which must exist.
func OpenShapes(ctx context.Context, js jetstream.JetStream, source topology.Source) (*Shapes, error) {
	kv, err := open(ctx, js, source.ShapeBucket())
	if err != nil {
		return nil, err
	}
	return &Shapes{js: js, kv: kv}, nil
}

// Get returns the shape with an id, or ErrNotFound.
func (r *Shapes) Get(ctx context.Context, id string) (*Shape, error) {
	if !shape.IsID(id) { // a subject that is too long, say, would cost the connection
		return nil, fmt.Errorf("shape %.40q: %w", id, ErrNotFound)
	}
	e, err := r.kv.Get(ctx, id)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return nil, fmt.Errorf("shape %s: %w", id, ErrNotFound)
	case err != nil:
		return nil, fmt.Errorf("read shape %s: %w", id, err)
	}
	return r.decode(e.Key(), e.Value(), e.Revision())
}

// GetAll returns the shapes with the ids, in their order, with few requests. Those that are not there and those whose records
// cannot be read are left out.
func (r *Shapes) GetAll(ctx context.Context, ids []string) ([]*Shape, error) {
	before := "$KV." + r.kv.Bucket() + "."
	subjects := make([]string, len(ids))
	for i, id := range ids {
		subjects[i] = before + id
	}
	found := make(map[string]*Shape, len(ids))
	err := stream.Last(ctx, r.js, "KV_"+r.kv.Bucket(), subjects, func(m *jetstream.RawStreamMsg) error {
		id := strings.TrimPrefix(m.Subject, before)
		if m.Header.Get("KV-Operation") != "" || m.Header.Get(jetstream.MarkerReasonHeader) != "" {
			return nil // it was removed
		}
		s, err := r.decode(id, m.Data, m.Sequence)
		if errors.Is(err, ErrUnreadable) {
			return nil
		}
		found[id] = s
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read %d shapes: %w", len(ids), err)
	}
	var all []*Shape
	for _, id := range ids {
		if s := found[id]; s != nil {
			all = append(all, s)
		}
	}
	return all, nil
}

// Put stores a new record, or one that was read before and not changed by
// anybody since; else it returns ErrConflict and changes nothing. One that nobody could read it refuses.
func (r *Shapes) Put(ctx context.Context, s *Shape) error {
	if err := s.check(s.ID); err != nil {
		return fmt.Errorf("store shape %s: %w", s.ID, err)
	}
	data, err := json.Marshal(s) //nolint:musttag // what package pg finds out is stored under its own names
	if err != nil {
		return fmt.Errorf("store shape %s: %w", s.ID, err)
	}
	var rev uint64
	if s.revision == 0 {
		rev, err = r.kv.Create(ctx, s.ID, data)
	} else {
		rev, err = r.kv.Update(ctx, s.ID, data, s.revision)
	}
	if err != nil {
		return fmt.Errorf("store shape %s: %w", s.ID, conflict(err))
	}
	s.revision = rev
	return nil
}

// Delete removes a record that nobody has changed since it was read.
func (r *Shapes) Delete(ctx context.Context, s *Shape) error {
	if err := r.kv.Delete(ctx, s.ID, jetstream.LastRevision(s.revision)); err != nil {
		return fmt.Errorf("remove shape %s: %w", s.ID, conflict(err))
	}
	return nil
}

// Change reads a shape, lets f alter it, and stores it, as often as it takes.
// f returns false to leave the record as it is.
func (r *Shapes) Change(ctx context.Context, id string, f func(*Shape) bool) (*Shape, error) {
	for {
		s, err := r.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		if !f(s) {
			return s, nil
		}
		s.Changed = time.Now().UTC()
		if err := r.Put(ctx, s); !errors.Is(err, ErrConflict) {
			return s, err
		}
	}
}

// IDs returns the ids of all shapes in ascending order.
func (r *Shapes) IDs(ctx context.Context) ([]string, error) {
	listing, enough := context.WithCancel(ctx)
	defer enough()
	there := map[string]bool{}
	err := watch(listing, r.kv, jetstream.AllKeys, 0, func(e jetstream.KeyValueEntry) {
		if e == nil {
			enough()
		} else {
			there[e.Key()] = e.Operation() == jetstream.KeyValuePut
		}
	}, jetstream.MetaOnly())
	if err != nil {
		return nil, fmt.Errorf("list shapes: %w", err)
	}
	var ids []string
	for id, is := range there {
		if is && id != topology.SourceKey {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, ctx.Err()
}

// Event is a change of the bucket.
type Event struct {
	ID    string
	Shape *Shape // nil when the record was removed
	Err   error  // the record cannot be read; Shape is nil
}

// Watch calls f with every record and then with every change until ctx ends.
// loaded is called once, when all that existed at the start has been seen.
func (r *Shapes) Watch(ctx context.Context, f func(Event), loaded func()) error {
	err := watch(ctx, r.kv, jetstream.AllKeys, 0, func(e jetstream.KeyValueEntry) {
		switch {
		case e == nil:
			loaded()
		case e.Key() == topology.SourceKey:
		case e.Operation() != jetstream.KeyValuePut:
			f(Event{ID: e.Key()})
		default:
			s, err := r.decode(e.Key(), e.Value(), e.Revision())
			f(Event{ID: e.Key(), Shape: s, Err: err})
		}
	})
	if err != nil {
		return fmt.Errorf("watch shapes: %w", err)
	}
	return nil
}

// stored is a record whose table is left as it is stored.
type stored struct {
	*plain

	Table json.RawMessage `json:"table"`
}

// plain has the fields of a record.
type plain Shape

func (r *Shapes) decode(key string, value []byte, revision uint64) (*Shape, error) {
	s := &Shape{revision: revision}
	raw := stored{plain: (*plain)(s)}
	err := json.Unmarshal(value, &raw)
	if err == nil {
		s.Table, err = r.tables.decode(raw.Table)
	}
	if err == nil {
		err = s.check(key)
	}
	if err != nil {
		return nil, fmt.Errorf("shape %s: %w: %w", key, ErrUnreadable, err)
	}
	return s, nil
}

func conflict(err error) error {
	var api *jetstream.APIError
	if errors.Is(err, jetstream.ErrKeyExists) || errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		return fmt.Errorf("%w (%w)", ErrConflict, err)
	}
	return topology.Explain(err)
}

// Succeed makes s the next incarnation after a record that was read, so that Put
// replaces that record if nobody has changed it since.
func (s *Shape) Succeed(old *Shape) { s.revision = old.revision }

// Fresh makes s a record that Put stores only where none is.
func (s *Shape) Fresh() { s.revision = 0 }
