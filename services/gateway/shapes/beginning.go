package shapes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/semaphore"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/gateway/protocol"
)

// ErrGone says that a log was folded, and what a reader asks for went with what stood before the fold. The shape goes on: begin
// with its newest beginning.
var ErrGone = errors.New("the shape's log was folded, and does not reach back that far any more")

// Beginning is what a reader may begin with: the snapshot with which a shape's log was made, or a generation that a fold has
// made. Clients know each under a handle of its own, so that a chunk of one is never taken for one of another. Behind a
// beginning all read the same log. Safe for concurrent use.
type Beginning struct {
	handle string
	origin origin
	gen    *wire.Generation // nil: the snapshot
	gone   bool             // it is only known by its handle

	reading *semaphore.Weighted // held, by one, while chunks are read
	reader  *segmentReader

	mu       sync.Mutex // guards what follows
	starts   []chunkStart
	complete bool // starts has all of them
}

func newBeginning(handle string, o origin, gen *wire.Generation) *Beginning {
	return &Beginning{handle: handle, origin: o, gen: gen, reading: semaphore.NewWeighted(1), starts: []chunkStart{{}}}
}

// generationMark stands between a shape's handle and what names a generation.
const generationMark = "_"

// LifeOf is the handle of the shape in the handle of one of its beginnings.
func LifeOf(handle string) string {
	life, _, _ := strings.Cut(handle, generationMark)
	return life
}

// handleOf is the handle of a generation. Its rows have a number that nothing else ever has; the generation's own is given again if
// the server loses it before it is on disk.
func handleOf(life string, g *wire.Generation) string {
	return life + generationMark + strconv.FormatUint(g.Segment, 36)
}

// Handle names the beginning.
func (b *Beginning) Handle() string { return b.handle }

// End is the whole beginning for who does not want its rows.
func (b *Beginning) End() *Body {
	return &Body{Next: protocol.BehindChunk(0), Full: true, messages: protocol.SnapshotEnd(nil, b.origin.snapshot)}
}

// marker is where the log goes on behind the beginning.
func (b *Beginning) marker() change.Offset {
	if b.gen == nil {
		return change.Offset{}
	}
	return b.gen.Offset()
}

// newestFor is how long what is known of the newest beginning is good enough. The ones before are there for a while.
const newestFor = time.Second

// Beginning returns the beginning that a handle of this shape names; of none, the newest.
func (s *Shape) Beginning(ctx context.Context, handle string) (*Beginning, error) {
	s.mu.Lock()
	fresh := time.Since(s.looked) < newestFor
	b := s.beginningLocked(handle)
	s.mu.Unlock()
	if b != nil && (fresh || handle != "") {
		return b, nil
	}
	if err := s.look(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b = s.beginningLocked(handle); b == nil {
		b = &Beginning{handle: handle, gone: true}
	}
	return b, nil
}

func (s *Shape) beginningLocked(handle string) *Beginning {
	for _, b := range slices.Backward(s.begins) {
		if handle == "" || b.handle == handle {
			return b
		}
	}
	return nil
}

// Newest looks for the newest beginning now.
func (s *Shape) Newest(ctx context.Context) (*Beginning, error) {
	if err := s.look(ctx); err != nil {
		return nil, err
	}
	return s.Beginning(ctx, "")
}

// From is the place in the log from which who has a beginning, and is at a place, goes on. Whoever has a generation has all up to
// its marker. Of one that is not known any more only that is known: it is not newer than those that are.
//
// That marker's entry may have index 0, and what the fold's unit deferred stands behind it under the same LSN.
func (s *Shape) From(b *Beginning, offset protocol.Offset) (Place, error) {
	at := PlaceOf(offset)
	if offset.Beginning || offset.Now {
		return at, nil
	}
	marker := b.marker()
	if b.gone {
		s.mu.Lock()
		marker = s.begins[len(s.begins)-1].marker()
		s.mu.Unlock()
	}
	switch {
	case !offset.InSnapshot() && !at.Before(marker):
		return at, nil
	case b.gone:
		return at, ErrGone
	case b.gen == nil:
		return at, nil
	}
	return Place{Offset: marker}, nil
}

// look reads with what the log begins, once for all who want to know.
func (s *Shape) look(ctx context.Context) error {
	_, err := s.looks.ask(ctx, "", func(ctx context.Context) (none struct{}, err error) {
		found, err := s.beginnings(ctx)
		if err != nil {
			return none, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for i, b := range found {
			if old := s.beginningLocked(b.handle); old != nil && old.origin.same(b.origin) {
				found[i] = old
			}
			s.seen = max(s.seen, b.marker().LSN)
		}
		s.begins, s.looked = found, time.Now()
		return none, nil
	})
	return err
}

// beginnings reads with what the log begins. It is errNothing while the first snapshot is being taken, and ErrOver when the log
// has ended.
func (s *Shape) beginnings(ctx context.Context) ([]*Beginning, error) {
	ctx, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	k, life := s.keeper, s.Handle()
	st, err := k.js.Stream(ctx, s.stream)
	if err != nil {
		return nil, err
	}
	var found []*Beginning
	subject := k.cfg.Source.GenerationSubject(s.shape.Info().Partition, life)
	for seq := uint64(1); ; {
		m, err := getMessage(ctx, st, subject, seq)
		if errors.Is(err, errNothing) {
			break
		}
		var b *Beginning
		if err == nil {
			b, err = generation(life, m.Data)
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", subject, err)
		}
		found, seq = append(found, b), m.Sequence+1
	}
	// What stands before a generation goes before the generation does, so this comes last.
	m, err := getMessage(ctx, st, s.subject(), 1)
	if err != nil {
		return nil, fmt.Errorf("read the beginning of %s: %w", s.subject(), err)
	}
	o, kind, err := readOrigin(m)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the beginning of %s: %w", s.subject(), err)
	case kind == wire.EntryEnd:
		return nil, ErrOver
	case kind == wire.EntrySegment:
		found = append([]*Beginning{newBeginning(life, o, nil)}, found...)
	case len(found) == 0:
		return nil, fmt.Errorf("read the beginning of %s: %w: it begins with neither a snapshot nor a generation", s.subject(), wire.ErrCorrupt)
	}
	return found, nil
}

// generation is the beginning that a generation is.
func generation(life string, data []byte) (*Beginning, error) {
	g, err := wire.DecodeGeneration(data)
	if err != nil {
		return nil, err
	}
	snapshot, err := change.ParseSnapshot(g.Snapshot)
	snapshot.LSN = change.LSN(g.SnapshotLSN)
	return newBeginning(handleOf(life, g), origin{segment: g.Segment, messages: g.Messages, snapshot: snapshot}, g), err
}

// readOrigin reads a log's first entry: of which kind it is, and what it says of a snapshot if it does. What comes in parts is neither
// a snapshot's entry nor the last word.
func readOrigin(m *jetstream.RawStreamMsg) (o origin, kind wire.EntryKind, err error) {
	if _, parts, err := stream.Part(m.Header); err != nil || parts > 1 {
		return o, wire.EntryOps, err
	}
	var dec wire.LogDecoder
	found := false
	err = dec.Decode(m.Data, func(e *wire.Entry) error {
		if found {
			return nil
		}
		found, kind = true, e.Kind
		if kind != wire.EntrySegment {
			return nil
		}
		o.segment, o.messages = e.Segment, e.Messages
		var err error
		o.snapshot, err = change.ParseSnapshot(e.Snapshot)
		o.snapshot.LSN = e.LSN
		return err
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: its first message is empty", wire.ErrCorrupt)
	}
	return o, kind, err
}

func (o origin) same(p origin) bool {
	return o.segment == p.segment && o.messages == p.messages && o.snapshot.LSN == p.snapshot.LSN && o.snapshot.String() == p.snapshot.String()
}
