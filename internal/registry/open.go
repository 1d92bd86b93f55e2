package registry

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// open opens a bucket that must exist. A bucket without a leader does not answer, and who asked it does not hear of the
// leader that it gets a moment later: so the answer is not waited for long, and whoever needs the bucket asks again.
func open(ctx context.Context, js jetstream.JetStream, bucket string) (jetstream.KeyValue, error) {
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	kv, err := js.KeyValue(ctx, bucket)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", bucket, err)
	}
	return kv, nil
}
