package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/topology"
)

// ErrSetUpOtherwise says that the source is in use with other settings.
var ErrSetUpOtherwise = errors.New("the source is set up otherwise")

// Source is the source's own record. The first consumer writes it; Grow is all that changes it.
type Source struct {
	Partitions  int    `json:"partitions"`
	Publication string `json:"publication"`
	Slot        string `json:"slot"`
}

// EnsureSource stores want as the source's record, or finds the one that is
// there. The number of partitions in want counts for a new source only.
func (r *Shapes) EnsureSource(ctx context.Context, want Source) (Source, error) {
	data, err := json.Marshal(want)
	if err != nil {
		return Source{}, fmt.Errorf("store the source's record: %w", err)
	}
	_, err = r.kv.Create(ctx, topology.SourceKey, data)
	if err == nil {
		return want, nil
	}
	if !errors.Is(err, jetstream.ErrKeyExists) {
		return Source{}, fmt.Errorf("store the source's record: %w", topology.Explain(err))
	}
	have, err := r.Source(ctx)
	if err != nil {
		return Source{}, err
	}
	if have.Partitions < 1 || have.Partitions > topology.MaxPartitions {
		return Source{}, fmt.Errorf("%w: its record says that it has %d partitions, want 1 to %d", ErrSetUpOtherwise, have.Partitions, topology.MaxPartitions)
	}
	if have.Publication != want.Publication || have.Slot != want.Slot {
		return Source{}, fmt.Errorf("%w: it uses publication %s and slot %s, but %s and %s were asked for; give the former, or use another source name",
			ErrSetUpOtherwise, have.Publication, have.Slot, want.Publication, want.Slot)
	}
	return have, nil
}

// Source returns the source's record, or ErrNotFound before there is one.
func (r *Shapes) Source(ctx context.Context) (Source, error) {
	var s Source
	e, err := r.kv.Get(ctx, topology.SourceKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return s, fmt.Errorf("the source's record: %w", ErrNotFound)
	}
	if err != nil {
		return s, fmt.Errorf("read the source's record: %w", err)
	}
	if err := json.Unmarshal(e.Value(), &s); err != nil {
		return s, fmt.Errorf("read the source's record: %w", err)
	}
	return s, nil
}
