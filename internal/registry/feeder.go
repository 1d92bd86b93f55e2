package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/topology"
)

// Feeder returns the database that feeds a source, which ingest's record begins with. It is zero while there is none: before
// the first start of ingest, and from a reset of the source to the next one. A record of an older version has no name.
func Feeder(ctx context.Context, js jetstream.JetStream, source topology.Source) (d pg.Database, err error) {
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	kv, err := open(ctx, js, source.RelationBucket())
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return d, nil
	}
	if err != nil {
		return d, topology.Explain(err)
	}
	e, err := kv.Get(ctx, topology.IngestKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return d, nil
	}
	if err == nil {
		err = json.Unmarshal(e.Value(), &d)
	}
	if err != nil {
		return pg.Database{}, fmt.Errorf("find out which database feeds source %s: ingest's record: %w", source, err)
	}
	return d, nil
}
