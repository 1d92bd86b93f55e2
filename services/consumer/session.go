package consumer

import (
	"context"
	"iter"
	"time"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/tables"
)

// session is the time during which this process holds the lease: a main loop, and what is built on it.
type session struct {
	*mainLoop

	c       *Consumer
	lease   *registry.Lease
	keeper  *tables.Keeper
	creator *creator
	groups  *groupSet
	look    chan struct{} // asks for a look at the catalog before its time

	// The main loop's.
	seen        change.Snapshot // what all tables of shapes were looked at behind
	blind       time.Time       // when the main loop could not look at a table
	truncations truncations
	judging     bool                     // files of leaves are being judged
	barriers    map[string]chan struct{} // barriers, by payload; closed when they are read
	lastBarrier int
}

// main recovers and is the main loop then.
func (s *session) main(ctx context.Context) error {
	start, err := s.recover(ctx)
	if err != nil {
		return err
	}
	messages := make(chan stream.Change, 1)
	s.tasks.Go(func() error { return s.changes.Feed(ctx, start, messages) })
	s.tasks.Go(func() error { return s.watchCatalog(ctx) })
	s.tasks.Go(func() error { return s.keeper.Watch(ctx) })
	s.tasks.Go(func() error { return s.keeper.WatchHarm(ctx) })
	s.tasks.Go(func() error { return s.trim(ctx) })
	s.tasks.Go(func() error {
		return s.keepMoving(ctx, func(ctx context.Context) { s.nudge(ctx, "nudge") })
	})
	for _, p := range s.parts {
		s.tasks.Go(func() error { return p.PurgeCheckpoints(ctx, s.log) })
	}
	return s.serve(ctx, messages)
}

// What the main loop asks and tells of what is built on it.

// Leave puts shapes that have to leave the main loop into groups.
func (s *session) Leave(ctx context.Context, shapes []*follow.Follower) { s.groups.leave(ctx, shapes) }

// Places are the places of the groups, by partition.
func (s *session) Places() map[int][]wire.ParkedAt { return s.groups.places() }

// Behind reports whether there are groups.
func (s *session) Behind() bool { return len(s.groups.all) > 0 }

// Floors are where the groups start to read.
func (s *session) Floors() iter.Seq[changelog.Place] { return s.groups.floors() }

// Lost takes out the shapes of a partition that cannot be written.
func (s *session) Lost(partition int, why error) int {
	return s.creator.lost(partition, why) + s.groups.lost(partition)
}

// Down tries to bring a partition back.
func (s *session) Down(ctx context.Context, p *partition) {
	s.tellDown(ctx)
	s.tasks.Go(func() error { return s.bringBack(ctx, p) })
}

// Fragment notes truncations, which may explain new files.
func (s *session) Fragment(table uint32, f *change.Fragment) {
	if s.truncations.read(table, f) {
		s.lookSoon()
	}
}

// Described has harm looked for.
func (s *session) Described() { s.keeper.Suspect() }

// Barrier wakes who waits for a barrier, and looks at a table that Postgres has described again.
func (s *session) Barrier(ctx context.Context, c wire.Control) error {
	s.barrierRead(c.Payload)
	if c.OID != 0 {
		return s.describedAgain(ctx, c)
	}
	return nil
}
