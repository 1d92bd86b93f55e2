package oracle

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/e2e/logcheck"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// foldGrace is how long what a fold replaces stays, so that the archive has it before it goes. A busy machine has been seen to keep
// the archive waiting for 25 seconds.
const foldGrace = 45 * time.Second

// archive keeps all that is ever written to shapes' streams, since folds remove it before it is judged.
type archive struct {
	js     jetstream.JetStream
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	subjects map[string]map[uint64]logcheck.Message // by sequence
	late     time.Duration                          // the longest that a message was in a stream before the archive had it
}

func newArchive(js jetstream.JetStream, source topology.Source, partitions int) *archive {
	a := &archive{js: js, subjects: map[string]map[uint64]logcheck.Message{}}
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	for p := range partitions {
		all := strings.TrimSuffix(source.LogSubjects(p), "*.log") + ">"
		a.wg.Go(func() { a.follow(ctx, source.ShapeStream(p), all) })
	}
	return a
}

func (a *archive) stop() {
	a.cancel()
	a.wg.Wait()
}

// follow keeps what comes in a stream. While there is none, or nobody answers, it asks again.
func (a *archive) follow(ctx context.Context, name, subjects string) {
	next := uint64(1)
	for ctx.Err() == nil {
		r := stream.NewSubjectReader(a.js, name, subjects, next)
		for {
			m, ok, err := r.Next(ctx)
			if err != nil {
				break
			}
			if ok {
				a.keep(m)
				next = m.Seq + 1
				continue
			}
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (a *archive) keep(m stream.Received) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.late = max(a.late, time.Since(m.Stored))
	if a.subjects[m.Subject] == nil {
		a.subjects[m.Subject] = map[uint64]logcheck.Message{}
	}
	a.subjects[m.Subject][m.Seq] = logcheck.Message{Tail: m.Header.Get(topology.HeaderTail), Data: bytes.Clone(m.Data)}
}

func (a *archive) latest() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.late
}

// of returns what a subject ever had.
func (a *archive) of(subject string) (all []logcheck.Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	kept := a.subjects[subject]
	for _, seq := range slices.Sorted(maps.Keys(kept)) {
		all = append(all, kept[seq])
	}
	return all
}

// complete puts into a log that was read what folds have removed from it, and its generations. It fails while the archive is not as
// far as the log.
func (a *archive) complete(log *logcheck.Log, source topology.Source) error {
	s := log.Shape
	all, size := a.of(source.LogSubject(s.Partition, s.Handle)), int64(0)
	for _, m := range all {
		tail, err := wire.ParseTail(m.Tail)
		if err != nil {
			return err
		}
		if before := tail.Bytes - int64(len(m.Data)); before != size {
			return fmt.Errorf("the archive of shape %s lacks what stands between %d and %d bytes of its log; it was up to %s late, and a fold leaves it %s", s.Handle, size, before, a.latest(), foldGrace)
		}
		size = tail.Bytes
	}
	if n := len(log.Messages); n > 0 {
		tail, err := wire.ParseTail(log.Messages[n-1].Tail)
		if err != nil {
			return err
		}
		if size < tail.Bytes {
			return fmt.Errorf("the archive of shape %s has %d bytes of its log's %d", s.Handle, size, tail.Bytes)
		}
	}
	log.Messages, log.Segments, log.Generations = all, map[uint64][][]byte{}, nil
	for _, m := range a.of(source.GenerationSubject(s.Partition, s.Handle)) {
		g, err := wire.DecodeGeneration(m.Data)
		if err != nil {
			return err
		}
		log.Generations = append(log.Generations, g)
	}
	numbers := []uint64{}
	for _, g := range log.Generations {
		numbers = append(numbers, g.Segment)
	}
	var d wire.LogDecoder
	for _, m := range all {
		if err := d.Decode(m.Data, func(e *wire.Entry) error {
			if e.Kind == wire.EntrySegment {
				numbers = append(numbers, e.Segment)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	for _, n := range numbers {
		for _, m := range a.of(source.SegmentSubject(s.Partition, s.Handle, n)) {
			log.Segments[n] = append(log.Segments[n], m.Data)
		}
	}
	return nil
}
