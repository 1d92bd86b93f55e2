package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/topology"
)

// Trouble is a partition that the holder of the consumer's lease cannot write.
type Trouble struct {
	Partition int       `json:"partition"`
	Since     time.Time `json:"since"`
	Reason    string    `json:"reason"`
}

// troubleKey is in the bucket of leases: what it says is the lease holder's.
const troubleKey = "trouble"

// PutTroubles stores which partitions are in trouble; the holder of the lease
// calls it when it begins and whenever that changes.
func PutTroubles(ctx context.Context, js jetstream.JetStream, source topology.Source, all []Trouble) error {
	kv, err := js.KeyValue(ctx, source.LeaseBucket())
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", source.LeaseBucket(), err)
	}
	if len(all) == 0 {
		if _, err := kv.Get(ctx, troubleKey); errors.Is(err, jetstream.ErrKeyNotFound) {
			return nil
		}
		err = kv.Purge(ctx, troubleKey)
	} else {
		var data []byte
		if data, err = json.Marshal(all); err == nil {
			_, err = kv.Put(ctx, troubleKey, data)
		}
	}
	if err != nil {
		return fmt.Errorf("store key %s: %w", troubleKey, topology.Explain(err))
	}
	return nil
}

// Troubles returns what PutTroubles stored last.
func Troubles(ctx context.Context, js jetstream.JetStream, source topology.Source) ([]Trouble, error) {
	kv, err := js.KeyValue(ctx, source.LeaseBucket())
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", source.LeaseBucket(), err)
	}
	e, err := kv.Get(ctx, troubleKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", troubleKey, err)
	}
	var all []Trouble
	if err := json.Unmarshal(e.Value(), &all); err != nil {
		return nil, fmt.Errorf("read key %s: %w", troubleKey, err)
	}
	return all, nil
}
