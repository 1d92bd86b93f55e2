package shapes

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/services/gateway/protocol"
)

// leastAhead is how much of the log is read at once for however small a piece.
const leastAhead = 16 << 10

// errPieceDone ends the reading of a piece.
var errPieceDone = errors.New("the piece is complete")

// piece reads from the log what stands between a place and the tail: as much as one piece holds. What is behind the tail is left
// there, as it may lack what was deferred.
func (s *Shape) piece(ctx context.Context, from change.Offset) (*Body, error) {
	p := &piece{shape: s, build: builder{encoder: s.encoder}, limit: s.keeper.cfg.ChunkBytes, certain: len(s.shape.Info().Subqueries) == 0}
	s.mu.Lock()
	p.until = s.tail
	if !from.Before(s.proved[0]) && from.Before(s.proved[1]) {
		p.proved = s.proved[1]
	}
	s.mu.Unlock()
	// What is read ahead and does not belong to the piece is read again for the next one.
	ahead := min(s.keeper.cfg.Buffer, max(p.limit, leastAhead))
	opts := client.Options{Buffer: ahead, Log: s.log(), Nearest: from.Op == math.MaxUint64 || from.LSN%8 != 0}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var err error
	for event, failed := range s.shape.Subscribe(client.Position{Handle: s.Handle(), Offset: from}, opts).Events(ctx) {
		if err = failed; err == nil {
			err = p.take(event)
		}
		if err != nil {
			break
		}
	}
	_, refetch := errors.AsType[*client.MustRefetchError](err)
	switch {
	case errors.Is(err, errPieceDone):
		return p.body(), nil
	case folded(err):
		return nil, fmt.Errorf("%w: %w", ErrGone, err)
	case errors.Is(err, errTruncated):
		s.forget(ctx)
		s.end(fmt.Errorf("%w: %w", ErrOver, err))
		return nil, ErrOver
	case refetch:
		return nil, fmt.Errorf("%w: %w", ErrOver, err)
	}
	return nil, err
}

// piece gathers events until it is full, or has come to a commit marker.
//
// What was read of a transaction counts only once its end was read, where it can still be taken back: then a full piece
// reads on, and keeps nothing of that.
type piece struct {
	shape   *Shape
	build   builder
	limit   int
	until   change.Offset // a commit marker up to which nothing is missing
	certain bool          // what begins is never taken back
	proved  change.Offset // up to here nothing is taken back
	full    bool          // enough was gathered
	cut     change.Offset // where a full piece ends
	beyond  bool          // its transaction goes on behind the cut
	same    bool          // under the same LSN
	upto    bool          // it has come to until
	aborted bool          // something was taken back on the way
}

func (p *piece) take(event client.Event) error {
	switch e := event.(type) {
	case client.Stalled:
		return fmt.Errorf("read the log of shape %s: %w", p.shape.Handle(), e.Err)
	case client.Begin:
		if p.full {
			return p.finish(p.cut.LSN != e.LSN)
		}
		p.build.begin(e)
	case client.Change:
		return p.change(e)
	case client.Abort:
		p.build.abort()
		p.full, p.beyond, p.aborted = false, false, true
	case client.Commit:
		if p.beyond {
			p.prove(e.Offset)
			return p.finish(!p.same)
		}
		p.build.name(e.XID)
		switch order := e.Offset.Compare(p.until); {
		case order < 0:
			return nil
		case order > 0:
			return fmt.Errorf("%w: its log has no commit marker at %s", ErrStalled, p.until)
		}
		p.upto = !p.full
		return p.finish(true)
	}
	return nil
}

func (p *piece) change(e client.Change) error {
	switch {
	case e.Kind == client.Truncate:
		return errTruncated
	case p.full && (p.certain || !p.proved.Before(e.Offset)):
		return p.finish(p.cut.LSN != e.Offset.LSN)
	case p.full:
		if !p.beyond {
			p.beyond, p.same = true, p.cut.LSN == e.Offset.LSN
		}
		return nil // the transaction's end tells whether it counts
	}
	p.build.add(e)
	if len(p.build.messages) >= p.limit && e.Offset.Op > 0 {
		p.full, p.cut = true, e.Offset
	}
	return nil
}

// prove notes that everything up to a commit marker counts. Where a transaction was taken back and written again, under the same offsets,
// who goes on in the midst of it may find the one that does not count: nothing is proven by an offset then.
func (p *piece) prove(to change.Offset) {
	s := p.shape
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.aborted {
		s.twice = to
	}
	if s.twice != to {
		s.proved = [2]change.Offset{p.cut, to}
	}
}

// finish ends the piece.
func (p *piece) finish(last bool) error {
	p.build.close(last)
	return errPieceDone
}

func (p *piece) body() *Body {
	b := &Body{Entries: len(p.build.ends), messages: p.build.messages, ends: p.build.ends}
	if p.upto {
		b.Next, b.UpToDate, b.LSN, b.xids = protocol.Behind(p.until), true, p.until.LSN, p.build.xids
		return b
	}
	b.Next, b.Full = protocol.Behind(p.cut), true
	return b
}
