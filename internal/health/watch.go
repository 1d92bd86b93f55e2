package health

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// lookEvery is the pause between looks.
	lookEvery = 2 * time.Second
	// answerMost is how long a look waits for one answer.
	answerMost = 3 * time.Second
	// askEvery is the least time between two connections to Postgres.
	askEvery = 5 * time.Second
	// goneAfter is how long a stream must be missing before it counts as deleted. A cluster in trouble denies what it has.
	goneAfter = 5 * time.Second
)

// Watch looks at what a process stands on, again and again. Safe for concurrent use. Its fields are set before Run.
type Watch struct {
	JS       jetstream.JetStream
	Streams  []string                    // that have to be there all the time
	Postgres func(context.Context) error // asks Postgres; nil if the process needs none
	Looked   func(context.Context)       // called after each look; nil for nothing

	asked time.Time // when Postgres was asked last, what it said, and since when it denies; Run's
	said  string
	since time.Time

	mu       sync.Mutex
	needs    map[string]int // streams beside Streams, with how many need them
	nats     string
	postgres string
	denied   time.Time
	gone     map[string]time.Time // streams that are missing, since when
	last     map[string]uint64    // the sequence of a stream's last message
	looked   chan struct{}        // closed and replaced after each look
}

// NewWatch makes a watch of streams.
func NewWatch(js jetstream.JetStream, streams ...string) *Watch {
	return &Watch{JS: js, Streams: streams, needs: map[string]int{}, gone: map[string]time.Time{}, last: map[string]uint64{}, looked: make(chan struct{})}
}

// Needs adds a stream until release is called.
func (w *Watch) Needs(stream string) (release func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.needs[stream]++
	return sync.OnceFunc(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.needs[stream]--; w.needs[stream] == 0 {
			delete(w.needs, stream)
		}
	})
}

// Run looks until ctx ends; then it returns nil.
func (w *Watch) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		w.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (w *Watch) look(ctx context.Context) {
	infos, failed := map[string]*jetstream.StreamInfo{}, error(nil)
	for _, name := range w.names() {
		asking, cancel := context.WithTimeout(ctx, answerMost)
		st, err := w.JS.Stream(asking, name)
		cancel()
		switch {
		case err == nil:
			infos[name] = st.CachedInfo()
		case errors.Is(err, jetstream.ErrStreamNotFound):
			infos[name] = nil
		default:
			failed = fmt.Errorf("JetStream does not answer for stream %s: %w", name, err)
		}
		if failed != nil {
			break
		}
	}
	postgres := w.said
	if now := time.Now(); w.Postgres != nil && now.Sub(w.asked) >= askEvery {
		postgres, w.asked = "", now
		asking, cancel := context.WithTimeout(ctx, answerMost)
		err := w.Postgres(asking)
		cancel()
		if err != nil {
			postgres = err.Error()
		}
		switch {
		case !denies(err): // it answers, or is down, which says nothing of credentials
			w.since = time.Time{}
		case w.since.IsZero():
			w.since = now
		}
	}
	if ctx.Err() != nil {
		return
	}
	w.said = postgres
	w.note(infos, failed, postgres, w.since, time.Now())
	if w.Looked != nil {
		w.Looked(ctx)
	}
}

// denies reports whether an error says that a server does not believe who this is.
func denies(err error) bool {
	e, ok := errors.AsType[interface {
		error
		Denied() bool
	}](err)
	return ok && e.Denied()
}

// names are the streams to look at.
func (w *Watch) names() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	names := slices.Clone(w.Streams)
	for name := range w.needs {
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// note keeps what a look has found: of each stream that was answered for what it is, nil if it is not there.
func (w *Watch) note(infos map[string]*jetstream.StreamInfo, failed error, postgres string, denied, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nats, w.postgres, w.denied = "", postgres, denied
	if failed != nil {
		w.nats = failed.Error()
	}
	for name, info := range infos {
		switch {
		case info != nil:
			delete(w.gone, name)
			w.last[name] = info.State.LastSeq
		case w.gone[name].IsZero():
			w.gone[name] = now
		}
	}
	for name := range w.gone { // nobody needs it any more
		if _, asked := infos[name]; !asked && failed == nil {
			delete(w.gone, name)
		}
	}
	close(w.looked)
	w.looked = make(chan struct{})
}

// Gone waits until one of Streams, which are there now, has been missing for so long that it was deleted, and says which. It
// returns nil when ctx ends.
func (w *Watch) Gone(ctx context.Context) error {
	w.mu.Lock()
	for _, name := range w.Streams {
		delete(w.gone, name) // of before it was made again
	}
	w.mu.Unlock()
	name := w.await(ctx, func(name string) bool { return slices.Contains(w.Streams, name) })
	if name == "" {
		return nil
	}
	return fmt.Errorf("stream %s was deleted: %w", name, jetstream.ErrStreamNotFound)
}

// NextGone waits until another one of the streams that somebody Needs was deleted, and returns its name; "" when ctx ends.
func (w *Watch) NextGone(ctx context.Context) string {
	return w.await(ctx, func(name string) bool { return !slices.Contains(w.Streams, name) })
}

// await waits until a stream has been missing for long, and counts it from the beginning then.
func (w *Watch) await(ctx context.Context, match func(string) bool) string {
	for {
		w.mu.Lock()
		looked := w.looked
		for name, since := range w.gone {
			if match(name) && time.Since(since) >= goneAfter {
				w.gone[name] = time.Now()
				w.mu.Unlock()
				return name
			}
		}
		w.mu.Unlock()
		select {
		case <-looked:
		case <-ctx.Done():
			return ""
		}
	}
}

// Last is the sequence of a stream's last message when it was looked at; 0 before.
func (w *Watch) Last(stream string) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last[stream]
}

// Into adds to facts what the watch knows.
func (w *Watch) Into(f *Facts) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f.NATS, f.Postgres, f.Denied = w.nats, w.postgres, w.denied
	if nc := w.JS.Conn(); !nc.IsConnected() {
		f.NATS = lost(nc)
	}
	for name := range w.gone {
		f.Missing = append(f.Missing, name)
	}
	slices.Sort(f.Missing)
}

// lost says why there is no connection.
func lost(nc *nats.Conn) string {
	text := "the connection is lost"
	if err := nc.LastError(); err != nil {
		text += ": " + err.Error()
	}
	return text
}
