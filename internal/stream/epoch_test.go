package stream_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/natsembed"
)

// remake deletes the stream and makes it again, empty.
func (b *bench) remake() {
	b.tb.Helper()
	cfg := b.stream.CachedInfo().Config
	ok(b.tb, b.js.DeleteStream(b.ctx(), "S"))
	for deadline := time.Now().Add(patience); ; {
		var err error
		if b.stream, err = b.js.CreateStream(b.ctx(), cfg); err == nil {
			return
		}
		// The server may still be removing the files of the one before.
		if api, refused := errors.AsType[*jetstream.APIError](err); !refused || api.ErrorCode != 10049 || time.Now().After(deadline) {
			b.tb.Fatal(err)
		}
	}
}

// wantReplaced fails the test unless reading ends with ErrReplaced before it returns anything else.
func wantReplaced(t *testing.T, r *stream.Reader) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if m, err := r.Next(ctx); !errors.Is(err, stream.ErrReplaced) {
		t.Errorf("message %d, %v; want ErrReplaced", m.Seq, err)
	}
}

func TestReaderNoticesAnotherStreamUnderTheName(t *testing.T) {
	t.Parallel()
	for name, messages := range map[string]int{"that is empty": 0, "that is shorter": 5, "of the same length": 20, "that is longer": 40} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
			b.fill(0, 20, 8)
			r := b.reader(1)
			b.want(r, 0, 20)
			subjects, err := stream.OpenSubjectsReader(b.ctx(), b.js, "S", "s.*", 1)
			ok(t, err)
			t.Cleanup(subjects.Close)
			b.want(subjects, 0, 20)
			was := r.Epoch()
			b.remake()
			if messages > 0 {
				b.fill(1000, 1000+messages, 8)
			}
			wantReplaced(t, r)
			wantReplaced(t, subjects)
			if now := b.reader(1).Epoch(); now == was || now.IsZero() {
				t.Errorf("the epoch was %s and is %s", was, now)
			}
		})
	}
	t.Run("before anything was read", func(t *testing.T) {
		b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
		b.fill(0, 20, 8)
		r := b.reader(21)
		b.remake()
		b.fill(1000, 1040, 8)
		wantReplaced(t, r)
	})
	t.Run("while it reads", func(t *testing.T) {
		b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
		const size = 64 << 10 // so that the first request brings some of it only
		b.fill(0, 100, size)
		r := b.reader(1)
		b.want(r, 0, 10)
		b.remake()
		b.fill(1000, 1100, size)
		for {
			m, err := r.Next(b.ctx())
			if errors.Is(err, stream.ErrReplaced) {
				break
			}
			ok(t, err)
			if n := number(m.Data); n >= 1000 {
				t.Fatalf("message %d of the other stream", n)
			}
		}
	})
}

func TestReaderNoticesThatTheStreamIsGone(t *testing.T) {
	t.Parallel()
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	b.fill(0, 3, 8)
	r := b.reader(1)
	b.want(r, 0, 3)
	ok(t, b.js.DeleteStream(b.ctx(), "S"))
	wantReplaced(t, r)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := r.Next(ctx); err == nil {
		t.Error("and goes on")
	}
}

func TestWatchNoticesAnotherStream(t *testing.T) {
	t.Parallel()
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	epoch := stream.EpochOf(b.stream.CachedInfo())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- stream.Watch(ctx, b.js, "S", epoch) }()
	cancel()
	ok(t, <-done)
	go func() { done <- stream.Watch(b.ctx(), b.js, "S", epoch) }()
	b.remake()
	if err := <-done; !errors.Is(err, stream.ErrReplaced) {
		t.Errorf("%v, want ErrReplaced", err)
	}
}

// power is a server that starts again on another state of its store.
type power struct {
	*bench

	dir  string
	port int
}

// newPower is a bench whose connection finds the server again.
func newPower(t *testing.T) *power {
	t.Helper()
	p := &power{dir: t.TempDir()}
	p.bench = newBench(t, natsembed.Options{Dir: p.dir, Port: -1}, jetstream.StreamConfig{})
	u, err := url.Parse(p.server.ClientURL())
	ok(t, err)
	p.port, err = strconv.Atoi(u.Port())
	ok(t, err)
	p.nc, err = nats.Connect(p.server.ClientURL(), nats.ReconnectWait(10*time.Millisecond), nats.ReconnectJitter(0, 0), nats.MaxReconnects(-1))
	ok(t, err)
	t.Cleanup(p.nc.Close)
	p.js, err = jetstream.New(p.nc)
	ok(t, err)
	p.stream, err = p.js.Stream(p.ctx(), "S")
	ok(t, err)
	return p
}

// backup copies the store of the server, which it stops and starts again.
func (p *power) backup() (dir string) {
	p.tb.Helper()
	dir = filepath.Join(p.tb.TempDir(), "backup")
	p.restart(func() { ok(p.tb, os.CopyFS(dir, os.DirFS(filepath.Join(p.dir, "jetstream")))) })
	return dir
}

// restart starts the server again, after something happened in between.
func (p *power) restart(between func()) {
	p.tb.Helper()
	p.server.Stop()
	between()
	var err error
	p.server, err = natsembed.Start(natsembed.Options{Dir: p.dir, Port: p.port})
	ok(p.tb, err)
	p.tb.Cleanup(p.server.Stop)
	for deadline := time.Now().Add(patience); ; {
		ctx, cancel := context.WithTimeout(p.tb.Context(), 200*time.Millisecond) // a request may be lost with the old connection
		_, err = p.stream.Info(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			p.tb.Fatal(err)
		}
	}
}

func TestReaderNoticesAStreamThatWasRestored(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]int{"and is shorter": 0, "and has grown": 30} {
		t.Run(name, func(t *testing.T) {
			p := newPower(t)
			p.fill(0, 10, 8)
			dir := p.backup()
			p.fill(10, 20, 8)
			r := p.reader(1)
			p.want(r, 0, 20)
			p.restart(func() {
				ok(t, os.RemoveAll(filepath.Join(p.dir, "jetstream")))
				ok(t, os.CopyFS(filepath.Join(p.dir, "jetstream"), os.DirFS(dir)))
			})
			if more > 0 {
				p.fill(1000, 1000+more, 8)
			}
			wantReplaced(t, r)
		})
	}
}

func TestReaderGoesOnWhenTheServerComesBack(t *testing.T) {
	t.Parallel()
	p := newPower(t)
	p.fill(0, 20, 8)
	r, early := p.reader(1), p.reader(1)
	p.want(r, 0, 20)
	p.restart(func() {})
	p.fill(20, 30, 8)
	p.want(r, 20, 30)
	p.want(early, 0, 30)
	ok(t, p.stream.Purge(p.ctx(), jetstream.WithPurgeSequence(31)))
	p.restart(func() {})
	p.fill(30, 40, 8)
	p.want(r, 30, 40)
	if r.Epoch() != early.Epoch() {
		t.Errorf("epochs %s and %s", r.Epoch(), early.Epoch())
	}
}
