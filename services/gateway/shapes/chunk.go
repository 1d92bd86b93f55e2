package shapes

import (
	"context"
	"errors"
	"fmt"

	"github.com/shapebus/shapebus/services/gateway/protocol"
)

// Snapshot returns a chunk of a beginning, or false if it has no such chunk. It must be let go of.
func (s *Shape) Snapshot(ctx context.Context, from *Beginning, n int) (*Body, bool, error) {
	if !from.mayHave(n) {
		return nil, false, nil
	}
	if b := s.cached(from.chunkKey(n)); b != nil {
		return b, true, nil
	}
	// Before it is somebody's turn: who waits for another reader of this beginning keeps nobody from other shapes.
	if err := from.reading.Acquire(ctx, 1); err != nil {
		return nil, false, context.Cause(ctx)
	}
	defer from.reading.Release(1)
	for {
		at, start := from.begins(n)
		if at < n && !from.mayHave(n) {
			return nil, false, nil
		}
		b, err := s.large(ctx, [2]string{from.chunkKey(at)}, func(ctx context.Context) (*Body, error) { return s.chunk(ctx, from, at, start) })
		if err != nil || at == n {
			return b, err == nil, err
		}
		s.LetGo(b)
	}
}

// mayHave is false when it is known that the beginning has no such chunk.
func (b *Beginning) mayHave(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.complete || n < len(b.starts)
}

// begins returns where a chunk begins, or the last one before it for which that is known, with its number.
func (b *Beginning) begins(n int) (int, chunkStart) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := min(n, len(b.starts)-1)
	return at, b.starts[at]
}

// ends notes where the chunk behind a chunk begins, if there is one.
func (b *Beginning) ends(n int, next chunkStart, more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case n != len(b.starts)-1:
	case more:
		b.starts = append(b.starts, next)
	default:
		b.complete = true
	}
}

// chunkKey is a chunk in the cache, where pieces of the log are too.
func (b *Beginning) chunkKey(n int) string { return fmt.Sprintf("%s chunk %d", b.handle, n) }

// chunk reads a chunk, of which it is known where it begins.
func (s *Shape) chunk(ctx context.Context, from *Beginning, n int, start chunkStart) (*Body, error) {
	b, next, more, err := s.read(ctx, from, start)
	if err != nil {
		from.reader = nil
		return nil, err
	}
	from.ends(n, next, more)
	b.Next, b.Full = protocol.BehindChunk(n), true
	return b, nil
}

// read reads the chunk that begins at a place. What is gone is gone with a fold or with the shape, or is another snapshot's.
func (s *Shape) read(ctx context.Context, from *Beginning, start chunkStart) (b *Body, next chunkStart, more bool, err error) {
	if start.log {
		b, next, more, err = s.changes(ctx, from, start)
	} else {
		b, next, more, err = s.rows(ctx, from, start)
	}
	if errors.Is(err, errTruncated) {
		s.forget(ctx)
		err = fmt.Errorf("%w: %w", ErrOver, err)
		s.end(err)
	}
	if err != nil && !errors.Is(err, errNothing) {
		return nil, chunkStart{}, false, err
	}
	// What a generation replaces is removed behind the generation itself, so what was read is whole if it is there.
	if gone := s.gone(ctx, from); gone != nil {
		err = gone
	}
	return b, next, more, err
}

// gone is nil if a beginning is still there.
func (s *Shape) gone(ctx context.Context, from *Beginning) error {
	switch err := s.look(ctx); {
	case errors.Is(err, errNothing), errors.Is(err, ErrOver):
		s.end(fmt.Errorf("%w: its snapshot is not there any more", ErrOver))
		return ErrOver
	case err != nil:
		return err
	}
	s.mu.Lock()
	b := s.beginningLocked(from.handle)
	s.mu.Unlock()
	switch b {
	case from:
		return nil
	case nil:
		return ErrGone
	}
	s.end(fmt.Errorf("%w: its snapshot is another one", ErrOver))
	return ErrOver
}

// rows reads a chunk of rows. Behind the last one stands what says that there are no more.
func (s *Shape) rows(ctx context.Context, from *Beginning, start chunkStart) (*Body, chunkStart, bool, error) {
	if from.reader == nil || from.reader.at != start {
		from.reader = &segmentReader{
			js: s.keeper.js, stream: s.stream, at: start, fed: start.seq,
			subject: s.keeper.cfg.Source.SegmentSubject(s.shape.Info().Partition, s.Handle(), from.origin.segment),
		}
	}
	b, next, more, err := from.reader.chunk(ctx, s.encoder, from.origin.messages, len(s.shape.Columns()), s.keeper.cfg.ChunkBytes)
	if err != nil || more {
		return b, next, more, err
	}
	from.reader = nil
	if len(b.messages) > 0 {
		b.messages = append(b.messages, ',')
	}
	b.messages = protocol.SnapshotEnd(b.messages, from.origin.snapshot)
	b.ends = append(b.ends, len(b.messages))
	if g := from.gen; g != nil && g.Bytes < g.Through {
		return b, chunkStart{log: true, bytes: g.Bytes}, true, nil
	}
	return b, next, false, nil
}
