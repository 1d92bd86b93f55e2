package logread

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/wire"
)

const (
	// batchMessages bounds a batched direct get, which the server answers in
	// one go.
	batchMessages = 256
	// AnswerTimeout is how long a direct get may take to its message, and a
	// batched one from each message to the next: a connection may be slow.
	AnswerTimeout = 5 * time.Second
)

var (
	errNoJetStream  = errors.New("nobody answers for JetStream")
	errNoDirectGets = errors.New("the stream does not allow direct gets")
)

// A batch is as large as the connection is fast: what takes longer to come holds up who else reads over it, and the server cuts a
// connection that does not take what it sends for ten seconds.
const (
	firstBytes = 256 << 10
	leastBytes = 64 << 10
	fast, slow = 500 * time.Millisecond, 2 * time.Second // for a batch
)

// sized is how much to ask for behind a batch for which so much was asked, of which so much came, and which took so long.
func sized(asked, came, most int, took time.Duration) int {
	switch {
	case took < fast && came >= asked/2: // less tells nothing of the connection
		return min(2*asked, most)
	case took > slow:
		return min(max(asked/2, leastBytes), most)
	}
	return asked
}

// fetcher reads one partition's stream with direct gets.
type fetcher struct {
	link      *Link
	partition int
	bytes     int // of a batch, about, at most
	size      int // of the next one; 0 before the first
}

// batch returns the messages of a subject from a sequence on, as many as one
// batch holds. None means that there are none (yet: a replica may be behind).
func (f *fetcher) batch(ctx context.Context, subject string, from uint64) (got []raw, err error) {
	asked := min(cmp.Or(f.size, firstBytes), f.bytes, linkBytes)
	if err := f.link.room.Acquire(ctx, int64(asked)); err != nil {
		return nil, context.Cause(ctx)
	}
	defer f.link.room.Release(int64(asked))
	began, came := time.Now(), 0
	defer func() { f.size = sized(asked, came, f.bytes, time.Since(began)) }()
	var messages []*jetstream.RawStreamMsg
	err = f.direct(ctx, "", func(ctx context.Context) error {
		ask := stream.Ask{Subject: subject, From: from, Messages: batchMessages, Bytes: asked, Silence: AnswerTimeout}
		messages, err = stream.Batch(ctx, f.link.js, f.link.source.ShapeStream(f.partition), ask, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		came += len(m.Data)
		got = append(got, raw{seq: m.Sequence, at: m.Time, header: m.Header, data: m.Data})
	}
	return got, nil
}

// newest returns a log's last message; found is false if it has none.
func (f *fetcher) newest(ctx context.Context, subject string) (m raw, h head, found bool, err error) {
	return f.get(ctx, subject, "."+subject, func(ctx context.Context, st jetstream.Stream) (*jetstream.RawStreamMsg, error) {
		return st.GetLastMsgForSubject(ctx, subject)
	})
}

// next returns a log's first message at or behind a sequence.
func (f *fetcher) next(ctx context.Context, subject string, from uint64) (m raw, h head, found bool, err error) {
	return f.get(ctx, subject, "", func(ctx context.Context, st jetstream.Stream) (*jetstream.RawStreamMsg, error) {
		return st.GetMsg(ctx, max(from, 1), jetstream.WithGetMsgSubject(subject))
	})
}

func (f *fetcher) get(ctx context.Context, subject, suffix string, get func(context.Context, jetstream.Stream) (*jetstream.RawStreamMsg, error)) (m raw, h head, found bool, err error) {
	st, err := f.link.stream(ctx, f.partition)
	if err != nil {
		return raw{}, head{}, false, err
	}
	var msg *jetstream.RawStreamMsg
	err = f.direct(ctx, suffix, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, AnswerTimeout)
		defer cancel()
		msg, err = get(ctx, st)
		return err
	})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return raw{}, head{}, false, nil
	}
	if err != nil {
		return raw{}, head{}, false, fmt.Errorf("read %s: %w", subject, err)
	}
	m = raw{seq: msg.Sequence, at: msg.Time, header: msg.Header, data: msg.Data}
	h = head{seq: m.seq, at: m.at}
	if h.tail, err = headTail(m); err != nil {
		return raw{}, head{}, false, fmt.Errorf("read %s at %d: %w", subject, m.seq, err)
	}
	return m, h, true, nil
}

// Tail is where a shape's log stands, as its newest message says; found is false if it has none.
func (l *Link) Tail(ctx context.Context, of *control.Shape) (t wire.Tail, found bool, err error) {
	f := fetcher{link: l, partition: of.Partition}
	_, h, found, err := f.newest(ctx, l.source.LogSubject(of.Partition, of.Handle))
	return h.tail, found, err
}

// headTail reads the tail of a log's message.
func headTail(m raw) (wire.Tail, error) {
	t, err := readTail(m.header)
	if err != nil {
		return t, err
	}
	_, count, err := stream.Part(m.header)
	if err != nil {
		return t, fmt.Errorf("%w: %w", wire.ErrCorrupt, err)
	}
	if count == 1 && !t.Began {
		return t, fmt.Errorf("%w: its tail %q says that the log is new, which is so before its first message only", wire.ErrCorrupt, t)
	}
	return t, nil
}

// direct makes a direct get, which is to end by itself. suffix is what follows the stream in its subject.
func (f *fetcher) direct(ctx context.Context, suffix string, get func(context.Context) error) error {
	name := f.link.source.ShapeStream(f.partition)
	err := WithRefusal(ctx, f.link.nc, "DIRECT.GET."+name+suffix, get)
	if !errors.Is(err, nats.ErrNoResponders) {
		return err
	}
	// There is no such stream, or nobody who has it is there just now.
	f.link.forgetStream(f.partition)
	st, err := f.link.stream(ctx, f.partition)
	switch {
	case err != nil:
		return err
	case !st.CachedInfo().Config.AllowDirect:
		return fmt.Errorf("stream %s: %w", name, errNoDirectGets)
	}
	return fmt.Errorf("stream %s: none of the servers that have it answers: %w", name, nats.ErrNoResponders)
}
