package registry

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// TombstoneAge is how long the marker of a key stays that was removed: longer than anybody goes on with a watch whose
// connection is lost. Without an end there would be one for each shape that anybody ever asked for. They are swept rather
// than given an end when they are written: a bucket that takes such messages would be refused to versions before this one.
const TombstoneAge = time.Hour

// tombstoneAge is TombstoneAge; tests shorten it.
var tombstoneAge = TombstoneAge

// SweepTombstones removes a bucket's markers of keys that were removed long ago. It returns how many there were.
func SweepTombstones(ctx context.Context, js jetstream.JetStream, bucket string) (int, error) {
	kv, err := open(ctx, js, bucket)
	if err != nil {
		return 0, err
	}
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	old := map[string]uint64{}
	err = watch(watching, kv, jetstream.AllKeys, 0, func(e jetstream.KeyValueEntry) {
		switch {
		case e == nil:
			cancel()
		case e.Operation() != jetstream.KeyValuePut && time.Since(e.Created()) >= tombstoneAge:
			old[e.Key()] = e.Revision()
		}
	}, jetstream.MetaOnly())
	if err == nil {
		err = ctx.Err()
	}
	if err != nil || len(old) == 0 {
		return 0, err
	}
	st, err := js.Stream(ctx, "KV_"+bucket)
	if err != nil {
		return 0, fmt.Errorf("sweep bucket %s: %w", bucket, err)
	}
	for key, revision := range old { // what was stored under the key meanwhile is behind it
		err := st.Purge(ctx, jetstream.WithPurgeSubject("$KV."+bucket+"."+key), jetstream.WithPurgeSequence(revision+1))
		if err != nil {
			return 0, fmt.Errorf("sweep key %s of bucket %s: %w", key, bucket, err)
		}
	}
	return len(old), nil
}
