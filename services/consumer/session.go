package consumer

import (
	"context"
	"iter"
	"time"

	"github.com/shapebus/shapebus/internal/ownership"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/create"
	"github.com/shapebus/shapebus/services/consumer/fold"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/group"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/tables"
)

// session is a time during which this process holds partitions: a main loop, and what is built on it.
type session struct {
	*live.Loop

	c       *Consumer
	grants  *grants
	keeper  *tables.Keeper
	creator *create.Creator
	groups  *group.Groups
	folder  *fold.Folder
	look    chan struct{} // asks for a look at the catalog before its time

	// The main loop's.
	held        map[int]ownership.Held // partitions
	leaving     map[int]bool           // partitions that are being given away
	purging     map[int]bool           // partitions whose old checkpoints are removed
	seen        change.Snapshot        // what all tables of shapes were looked at behind
	blind       time.Time              // when the main loop could not look at a table
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
	s.c.works()
	messages := make(chan stream.Change, 1)
	s.Tasks.Go(func() error { return s.Changes.Feed(ctx, start, messages) })
	s.Tasks.Go(func() error { return s.watchCatalog(ctx) })
	s.Tasks.Go(func() error { return s.keeper.Watch(ctx) })
	s.Tasks.Go(func() error { return s.keeper.WatchHarm(ctx) })
	s.Tasks.Go(func() error { return s.trim(ctx) })
	s.Tasks.Go(func() error { return s.follow(ctx) })
	s.Tasks.Go(func() error { return s.folder.Run(ctx) })
	s.Tasks.Go(func() error { return s.loseDeleted(ctx) })
	s.Tasks.Go(func() error {
		return s.KeepMoving(ctx, func(ctx context.Context) { s.Nudge(ctx, "nudge") })
	})
	for n := range s.held {
		s.purge(ctx, s.Parts[n])
	}
	return s.Serve(ctx, messages)
}

// What the main loop asks and tells of what is built on it.

// Leave puts shapes that have to leave the main loop into groups.
func (s *session) Leave(ctx context.Context, shapes []*follow.Follower) { s.groups.Leave(ctx, shapes) }

// Places are the places of the groups, by partition.
func (s *session) Places() map[int][]wire.ParkedAt { return s.groups.Places() }

// Behind reports whether there are groups.
func (s *session) Behind() bool { return len(s.groups.All) > 0 }

// Selecting are the inner shapes that the groups know.
func (s *session) Selecting() map[string]bool { return s.groups.Selecting() }

// Floors are where the groups start to read.
func (s *session) Floors() iter.Seq[changelog.Place] { return s.groups.Floors() }

// Lost takes out the shapes of a partition that cannot be written.
func (s *session) Lost(partition int, why error) int {
	return s.creator.Lost(partition, why) + s.groups.Lost(partition)
}

// Down tries to bring a partition back.
func (s *session) Down(ctx context.Context, p *live.Partition) {
	s.tellDown(ctx)
	turn := p.Turn
	s.Tasks.Go(func() error { return s.bringBack(ctx, p, turn, false) })
}

// Fragment notes truncations, which may explain new files.
func (s *session) Fragment(table uint32, f *change.Fragment) {
	if s.truncations.read(table, f) {
		s.lookSoon()
	}
}

// Described has harm looked for.
func (s *session) Described() { s.keeper.Suspect() }

// BarrierRead wakes who waits for a barrier, and looks at a table that Postgres has described again.
func (s *session) BarrierRead(ctx context.Context, c wire.Control) error {
	s.barrierRead(c.Payload)
	if c.OID != 0 {
		return s.describedAgain(ctx, c)
	}
	return nil
}
