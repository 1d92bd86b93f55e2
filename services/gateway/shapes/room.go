package shapes

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// ErrNoRoom says that so much is being sent that no more can be held for it. Ask again.
var ErrNoRoom = errors.New("too much is being sent")

// room bounds what is held in memory for answers that are being sent. Clients may take their time, and each may ask for
// another piece, so a cache's limit says nothing of that. A body that many answers share counts once.
type room struct {
	limit int64
	bytes *semaphore.Weighted
	turns *semaphore.Weighted // of those who make large bodies, which do not count while they are made

	mu sync.Mutex // guards holders of bodies
}

// What a room takes note of, how many bodies are made at once, and how long somebody waits for room.
const (
	roomFrom   = 32 << 10
	roomTurns  = 8
	roomWithin = 5 * time.Second
)

func newRoom(limit int) *room {
	return &room{limit: int64(limit), bytes: semaphore.NewWeighted(int64(limit)), turns: semaphore.NewWeighted(roomTurns)}
}

// hold counts a body that an answer is to be made of, if there is room. Every hold needs a let go.
func (r *room) hold(b *Body) bool {
	if r.share(b) {
		return true
	}
	if !r.bytes.TryAcquire(r.weight(b)) {
		return false
	}
	r.first(b)
	return true
}

// await is hold for those whose turn it is: it waits until there is room.
func (r *room) await(ctx context.Context, b *Body) error {
	if r.share(b) {
		return nil
	}
	if err := r.acquire(ctx, r.weight(b)); err != nil {
		return err
	}
	r.first(b)
	return nil
}

// acquire waits until there is room for so many bytes.
func (r *room) acquire(ctx context.Context, n int64) error {
	return wait(ctx, r.bytes, n)
}

// turn waits for a turn.
func (r *room) turn(ctx context.Context) error { return wait(ctx, r.turns, 1) }

func wait(ctx context.Context, s *semaphore.Weighted, n int64) error {
	waiting, cancel := context.WithTimeout(ctx, roomWithin)
	defer cancel()
	if err := s.Acquire(waiting, n); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return ErrNoRoom
	}
	return nil
}

// share counts another answer of a body that is held already, or that is too small to count.
func (r *room) share(b *Body) bool {
	if b.size() < roomFrom {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if b.holders == 0 {
		return false
	}
	b.holders++
	return true
}

// first counts an answer for which room was made, unless somebody else was faster.
func (r *room) first(b *Body) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b.holders++; b.holders > 1 {
		r.bytes.Release(r.weight(b))
	}
}

// letGo says that an answer does not need a body any more. One that was not held does not matter.
func (r *room) letGo(b *Body) {
	if b.size() < roomFrom {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if b.holders == 0 {
		return
	}
	if b.holders--; b.holders == 0 {
		r.bytes.Release(r.weight(b))
	}
}

// weight is what a body counts for. One that is larger than the room has it for itself.
func (r *room) weight(b *Body) int64 { return min(int64(b.size()), r.limit) }
