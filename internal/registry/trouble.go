package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/topology"
)

// Trouble is a partition that its holder cannot write.
type Trouble struct {
	Partition int       `json:"partition"`
	Since     time.Time `json:"since"`
	Reason    string    `json:"reason"`
}

// troubleKeys are in the bucket of leases: what they say is the lease holder's.
const troubleKeys = "trouble"

func troubleKey(p int) string { return troubleKeys + "." + strconv.Itoa(p) }

// PutTrouble stores that a partition is in trouble, or with nil that it is not; the holder of its lease
// calls it when it has taken it over and whenever that changes.
func PutTrouble(ctx context.Context, js jetstream.JetStream, source topology.Source, p int, t *Trouble) error {
	kv, err := open(ctx, js, source.LeaseBucket())
	if err != nil {
		return err
	}
	key := troubleKey(p)
	if t == nil {
		if _, err = kv.Get(ctx, key); errors.Is(err, jetstream.ErrKeyNotFound) {
			return nil
		}
		err = kv.Purge(ctx, key)
	} else {
		var data []byte
		if data, err = json.Marshal(t); err == nil {
			_, err = kv.Put(ctx, key, data)
		}
	}
	if err != nil {
		return fmt.Errorf("store key %s: %w", key, topology.Explain(err))
	}
	return nil
}

// Troubles returns what PutTrouble stored last of each partition, in their order.
func Troubles(ctx context.Context, js jetstream.JetStream, source topology.Source, partitions int) ([]Trouble, error) {
	kv, err := open(ctx, js, source.LeaseBucket())
	if err != nil {
		return nil, err
	}
	watching, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	at := map[int]Trouble{}
	var failed error
	err = watch(watching, kv, troubleKeys+".*", 0, func(e jetstream.KeyValueEntry) {
		switch {
		case e == nil:
			cancel()
		case e.Operation() == jetstream.KeyValuePut:
			var t Trouble
			if err := json.Unmarshal(e.Value(), &t); err != nil {
				failed = fmt.Errorf("read key %s: %w", e.Key(), err)
				return
			}
			at[t.Partition] = t
		}
	})
	if err = errors.Join(err, failed); err != nil {
		return nil, err
	}
	var all []Trouble
	for p := range partitions {
		if t, ok := at[p]; ok {
			all = append(all, t)
		}
	}
	return all, nil
}
