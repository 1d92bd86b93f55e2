package ownership

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/topology"
)

// Config says who shares what.
type Config struct {
	NATS       *nats.Conn
	JS         jetstream.JetStream
	Source     topology.Source
	Role       string // see topology
	Name       string // of this process
	Partitions *registry.Partitions
	Log        *slog.Logger
	Moves      *atomic.Int64 // counts the partitions taken and given, except at the end
}

// Held is a partition that the process holds.
type Held struct {
	Partition int

	lease    registry.Holding
	holdings *registry.Holdings
}

// Verify asks the server, and returns nil only if nobody else has taken the partition up to now. A process may have
// slept since it last knew. registry.ErrHeld says that somebody has.
func (h Held) Verify(ctx context.Context) error { return h.holdings.Verify(ctx, h.Partition, h.lease) }

// debounce is how long a process waits for more to come when one has come, before partitions move.
const debounce = 500 * time.Millisecond

// debounceMost bounds that where one after another comes.
const debounceMost = 2 * time.Second

// again is the pause before another attempt to take a lease.
const again = 250 * time.Millisecond

// Run has the process take part until ctx ends, then gives back what it holds and returns nil. It returns
// an error when it may not be a member any more; then nothing is given back, as it is free already. The
// buckets of members and leases must exist. joined is called once, when the process is a member.
//
// work runs for each partition that the process holds, in a goroutine of its own. Its ctx ends when it must let
// go; the lease is given back when it has returned, so that the successor finds nothing on its way.
func Run(ctx context.Context, cfg Config, joined func(), work func(ctx context.Context, h Held)) error {
	members, err := registry.OpenMembers(ctx, cfg.JS, cfg.Source)
	if err != nil {
		return err
	}
	holdings, err := registry.OpenHoldings(ctx, cfg.JS, cfg.Source, cfg.Role)
	if err != nil {
		return err
	}
	s := &sharer{
		cfg: cfg, me: registry.NewMember(cfg.Name), members: members, holdings: holdings, work: work,
		state: state{partitions: cfg.Partitions.Count(), leases: map[int]registry.Holding{}}, runs: map[int]*run{},
		ended: make(chan int), leave: make(chan struct{}),
	}
	s.state.me = s.me
	alive, err := s.answer()
	if err != nil {
		return err
	}
	defer alive.Unsubscribe() //nolint:errcheck // it ends with the connection
	return s.run(ctx, joined)
}

// sharer is a process' part. The loop owns what is below.
type sharer struct {
	cfg      Config
	me       registry.Member
	members  *registry.Members
	holdings *registry.Holdings
	work     func(ctx context.Context, h Held)
	calls    *service.Loop // runs functions on the loop
	ended    chan int      // partitions whose work has returned
	leave    chan struct{} // closed when the process leaves

	state state
	runs  map[int]*run
}

// run is the work on a partition.
type run struct {
	held   registry.Holding
	cancel context.CancelCauseFunc
	over   bool // it was told to let go
}

// errMoved ends the work on a partition that is another's.
var errMoved = errors.New("the partition is another process's")

// run is the process' membership: while it lasts, the loop goes on.
func (s *sharer) run(ctx context.Context, joined func()) error {
	member, end := context.WithCancel(context.WithoutCancel(ctx)) // until all is given back
	defer end()
	group, member := errgroup.WithContext(member)
	s.calls = service.NewLoop(member)
	group.Go(func() error { return s.members.Hold(member, s.cfg.Role, s.me, s.leave, joined) })
	group.Go(func() error {
		return service.Endless(member, s.members.Watch(member, s.cfg.Role, s.me, func(now []registry.Member) {
			s.tell(member, func() { s.state.see(now, time.Now()) })
		}))
	})
	group.Go(func() error {
		return service.Endless(member, s.holdings.Watch(member, func(p int, now registry.Holding) {
			s.tell(member, func() { s.state.hold(p, now) })
		}, func() { s.tell(member, func() { s.state.loaded = true }) }))
	})
	group.Go(func() error { return s.probe(member) })
	group.Go(func() error {
		for {
			n, more := s.cfg.Partitions.Now()
			s.tell(member, func() { s.state.partitions = n })
			select {
			case <-more:
			case <-member.Done():
				return nil
			}
		}
	})
	group.Go(func() error {
		defer end()
		return s.loop(ctx, member)
	})
	return group.Wait()
}

// tell has the loop learn something.
func (s *sharer) tell(ctx context.Context, f func()) {
	_ = s.calls.Send(ctx, func(context.Context) error { f(); return nil }) // else it is over
}

// loop takes and gives partitions until ctx ends, and then gives all of them back. member ends when the membership does.
func (s *sharer) loop(ctx, member context.Context) error {
	defer s.stop(member)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-member.Done():
			return context.Cause(member)
		case f := <-s.calls.Calls():
			if err := f(ctx); err != nil {
				return err
			}
		case p := <-s.ended:
			s.give(member, p)
		case <-timer.C:
		}
		if wait := s.step(ctx, member); wait > 0 {
			timer.Reset(wait)
		}
	}
}

// step takes what is the process' own and free, and lets go of what is another's. It returns when to look again; 0 is when something changes.
func (s *sharer) step(ctx, member context.Context) time.Duration {
	for p, r := range s.runs {
		if now := s.state.leases[p]; !r.over && now.Revision > r.held.Revision && !now.Holder.Is(s.me) {
			s.cfg.Log.WarnContext(ctx, "a partition was taken over by another process, which did not hear of this one", slog.Int("partition", p), slog.String("by", now.Holder.Name))
			s.letGo(r)
		}
	}
	d := s.state.decide(time.Now())
	for _, p := range d.give {
		switch r := s.runs[p]; {
		case r == nil: // the lease was not given back when the work ended
			if !s.giveBack(member, p, s.state.leases[p]) {
				d.wait = again
			}
		case !r.over:
			s.cfg.Log.InfoContext(ctx, "partition handed over", slog.Int("partition", p), slog.String("to", d.to[p]))
			s.letGo(r)
		}
	}
	for _, p := range d.keep {
		if s.runs[p] == nil { // nor was it then, or the answer was lost when it was taken
			s.start(ctx, member, p, s.state.leases[p])
		}
	}
	for _, p := range d.take {
		if s.runs[p] != nil {
			continue
		}
		held, err := s.holdings.Take(member, p, s.me, s.state.leases[p])
		if err != nil {
			if !errors.Is(err, registry.ErrHeld) && member.Err() == nil {
				s.cfg.Log.WarnContext(ctx, "a lease is not taken", slog.Any("error", err))
			}
			d.wait = again
			continue
		}
		s.state.hold(p, held)
		s.start(ctx, member, p, held)
	}
	return d.wait
}

// start begins the work on a partition.
func (s *sharer) start(ctx, member context.Context, p int, held registry.Holding) {
	working, cancel := context.WithCancelCause(member)
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	s.runs[p] = &run{held: held, cancel: cancel}
	s.count()
	go func() {
		s.work(working, Held{p, held, s.holdings})
		stop()
		cancel(nil)
		s.ended <- p // the loop takes it, or stop
	}()
}

// letGo tells the work on a partition to end.
func (s *sharer) letGo(r *run) {
	r.over = true
	r.cancel(errMoved)
	s.count()
}

func (s *sharer) count() {
	if s.cfg.Moves != nil {
		s.cfg.Moves.Add(1)
	}
}

// give gives back the lease on a partition whose work has ended.
func (s *sharer) give(ctx context.Context, p int) {
	r := s.runs[p]
	delete(s.runs, p)
	if now := s.state.leases[p]; now.Revision > r.held.Revision {
		return // it is another's already
	}
	s.giveBack(ctx, p, r.held)
}

// giveBack gives back a lease, and reports whether it did. If not, it is tried again, and when the process ends the lease
// is free once that is not heard of any more.
func (s *sharer) giveBack(ctx context.Context, p int, held registry.Holding) bool {
	if err := s.holdings.Give(ctx, p, held); err != nil {
		if ctx.Err() == nil {
			s.cfg.Log.WarnContext(ctx, "a lease is not given back yet; others wait for the partition", slog.Any("error", err))
		}
		return false
	}
	s.state.hold(p, registry.Holding{Revision: held.Revision})
	return true
}

// stop ends all work, says so to others, and gives back what is held.
func (s *sharer) stop(member context.Context) {
	close(s.leave)
	for _, r := range s.runs {
		r.cancel(nil)
	}
	for len(s.runs) > 0 {
		s.give(member, <-s.ended)
	}
}

// answer has the process answer those who ask whether it is there.
func (s *sharer) answer() (*nats.Subscription, error) {
	sub, err := s.cfg.NATS.Subscribe(s.cfg.Source.MemberSubject(s.me.Incarnation), func(m *nats.Msg) {
		if topology.IsInbox(m.Reply) {
			_ = m.Respond(nil)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("answer other processes: %w", err)
	}
	return sub, nil
}
