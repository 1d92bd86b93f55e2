package ownership

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
)

const (
	// probeEvery is how often a process asks its neighbour whether it is there.
	probeEvery = 250 * time.Millisecond
	// deaf is how many questions in a row find nobody before a neighbour counts as gone.
	deaf = 2
	// known is how long a neighbour is there before it is asked: a server may not have heard yet that it listens.
	known = time.Second
)

// probe asks the next member, in the order of their names, whether it is there. The server knows at once when nobody
// listens: the neighbour's connection is gone, and with it the right to write on. One that is frozen is found by its
// announcements, which run out.
func (s *sharer) probe(ctx context.Context) error {
	var asked registry.Member
	var since time.Time
	for silent := 0; service.WaitFor(ctx, probeEvery); {
		var next registry.Member
		err := s.calls.Do(ctx, func(context.Context) error { next = s.state.neighbour(); return nil })
		if err != nil || next == (registry.Member{}) {
			continue
		}
		if !next.Is(asked) {
			asked, since, silent = next, time.Now(), 0
		}
		if time.Since(since) < known {
			continue
		}
		asking, cancel := context.WithTimeout(ctx, probeEvery)
		_, err = s.cfg.NATS.RequestWithContext(asking, s.cfg.Source.MemberSubject(next.Incarnation), nil)
		cancel()
		if !errors.Is(err, nats.ErrNoResponders) {
			silent = 0
			continue
		}
		if silent++; silent < deaf {
			continue
		}
		s.cfg.Log.WarnContext(ctx, "another process is gone; its partitions are shared", slog.String("process", next.Name))
		if err := s.members.Dismiss(ctx, s.cfg.Role, next); err != nil && ctx.Err() == nil {
			s.cfg.Log.WarnContext(ctx, "it counts as there until its announcement runs out", slog.String("process", next.Name), slog.Any("error", err))
		}
		silent = 0
	}
	return nil
}

// neighbour is the member behind this one in the order of names, around the ring; zero without others.
func (s *state) neighbour() registry.Member {
	var first, next registry.Member
	for _, m := range slices.Backward(s.members) {
		if m.Is(s.me) {
			continue
		}
		if first = m; m.Name > s.me.Name {
			next = m
		}
	}
	if next == (registry.Member{}) {
		return first
	}
	return next
}
