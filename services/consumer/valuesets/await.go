package valuesets

import (
	"context"
	"slices"

	"github.com/shapebus/shapebus/pkg/change"
)

// tell wakes everybody who waits. Called with mu held.
func (s *Sets) tell() {
	if s.waiting > 0 {
		close(s.news)
		s.news = make(chan struct{})
	}
}

// wait waits until ok, called with mu held, says yes.
func (s *Sets) wait(ctx context.Context, ok func() bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !ok() {
		news := s.news
		s.waiting++
		s.mu.Unlock()
		select {
		case <-news:
		case <-ctx.Done():
		}
		s.mu.Lock()
		s.waiting--
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// AwaitScan waits until the main loop has read everything up to a commit.
func (s *Sets) AwaitScan(ctx context.Context, lsn change.LSN) error {
	return s.wait(ctx, func() bool { return s.scanned >= lsn })
}

// AwaitLog waits until the log of an inner shape has been written up to a commit, or the shape is gone.
func (s *Sets) AwaitLog(ctx context.Context, handle string, lsn change.LSN) (gone bool, err error) {
	err = s.wait(ctx, func() bool {
		l := s.inner[handle]
		gone = l == nil
		return gone || l.reaches(lsn, s.scanned)
	})
	return gone, err
}

// AwaitLive waits until the main loop has read more than everything up to a commit, or has the inner
// shapes of all of these sets.
func (s *Sets) AwaitLive(ctx context.Context, sets []*Set, lsn change.LSN) error {
	return s.wait(ctx, func() bool {
		return s.scanned > lsn || !slices.ContainsFunc(sets, func(set *Set) bool {
			l := s.inner[set.from.Handle]
			return l == nil || !l.live
		})
	})
}
