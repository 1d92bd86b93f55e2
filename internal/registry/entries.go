package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/topology"
)

// entries returns what a bucket has now under the keys that match.
func entries(ctx context.Context, kv jetstream.KeyValue, keys string) ([]jetstream.KeyValueEntry, error) {
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	var all []jetstream.KeyValueEntry
	err := watch(watching, kv, keys, 0, func(e jetstream.KeyValueEntry) {
		switch {
		case e == nil:
			cancel()
		case e.Operation() == jetstream.KeyValuePut:
			all = append(all, e)
		}
	})
	if err == nil {
		err = ctx.Err()
	}
	return all, err
}

// Running returns the processes of a source that share its partitions, as people know them. Who has just died may still be
// announced, and a server that lost its latest writes may never drop an announcement: so only who says again that it is
// there counts, and Running waits for that if anybody is announced.
func Running(ctx context.Context, js jetstream.JetStream, source topology.Source) ([]string, error) {
	kv, err := open(ctx, js, source.MemberBucket())
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	look := func() (map[string]uint64, error) {
		found, err := entries(ctx, kv, jetstream.AllKeys)
		at := map[string]uint64{}
		for _, e := range found {
			at[e.Key()] = e.Revision()
		}
		return at, err
	}
	before, err := look()
	if err != nil || len(before) == 0 {
		return nil, err
	}
	wait := time.NewTimer(topology.MemberTTL)
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-wait.C:
	}
	now, err := look()
	var names []string
	for key, revision := range now {
		if before[key] != revision {
			names = append(names, key)
		}
	}
	slices.Sort(names)
	return names, err
}

// All returns every record. One that cannot be read is an error.
func (r *PreparedTables) All(ctx context.Context) ([]*Prepared, error) {
	found, err := entries(ctx, r.kv, topology.PreparedKeys)
	if err != nil {
		return nil, fmt.Errorf("list prepared tables: %w", err)
	}
	all := make([]*Prepared, 0, len(found))
	for _, e := range found {
		p, err := decodePrepared(e)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}
