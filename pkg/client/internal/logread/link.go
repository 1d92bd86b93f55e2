package logread

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/semaphore"

	"github.com/shapebus/shapebus/pkg/topology"
)

// Link is the way to the logs of one source. Safe for concurrent use.
type Link struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	source topology.Source
	room   *semaphore.Weighted // bytes of batches that are on their way

	mu      sync.Mutex
	streams map[int]jetstream.Stream // by partition; guarded by mu
}

// linkBytes bounds what is asked for at once, however many shapes are read: a server cuts a connection for which it holds more than
// its max_pending, and would do so again and again, as the same is asked for behind it.
const linkBytes = 16 << 20

// NewLink is the way to the logs of a source. It sends nothing.
func NewLink(nc *nats.Conn, js jetstream.JetStream, source topology.Source) *Link {
	return &Link{nc: nc, js: js, source: source, room: semaphore.NewWeighted(linkBytes), streams: make(map[int]jetstream.Stream)}
}

// stream returns the handle of a partition's stream, asking the server for it
// the first time.
func (l *Link) stream(ctx context.Context, partition int) (jetstream.Stream, error) {
	l.mu.Lock()
	st := l.streams[partition]
	l.mu.Unlock()
	if st != nil {
		return st, nil
	}
	name := l.source.ShapeStream(partition)
	ctx, cancel := context.WithTimeout(ctx, AnswerTimeout)
	defer cancel()
	err := WithRefusal(ctx, l.nc, "STREAM.INFO."+name, func(ctx context.Context) (err error) {
		st, err = l.js.Stream(ctx, name)
		return err
	})
	if errors.Is(err, nats.ErrNoResponders) {
		err = errNoJetStream
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streams[partition] = st
	return st, nil
}

// forgetStream makes the next call of stream ask the server.
func (l *Link) forgetStream(partition int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.streams, partition)
}
