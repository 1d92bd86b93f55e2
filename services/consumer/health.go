package consumer

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/health"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/services/consumer/changelog"
)

// facts are what is noted for Health beside the figures. Safe for concurrent use.
type facts struct {
	pace health.Pace
	head atomic.Uint64 // LSN of the change log's end, some seconds ago

	mu     sync.Mutex
	watch  *health.Watch
	failed string    // why the last session ended; "" once another works
	joined time.Time // when this process became a member of those who share the partitions
}

// standbyAfter is how long a process waits for a partition before it counts as one that stands by.
const standbyAfter = 5 * time.Second

// watching notes what looks at what the process stands on.
func (f *facts) watching(w *health.Watch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watch = w
}

// fail notes why an attempt to work ended.
func (f *facts) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed, f.joined = err.Error(), time.Time{}
}

// join notes that the process takes part.
func (f *facts) join() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.joined = time.Now()
}

// works notes that a main loop reads.
func (c *Consumer) works() {
	c.stats.Unread.Store(0)
	c.stats.Sessions.Add(1)
	c.facts.mu.Lock()
	defer c.facts.mu.Unlock()
	c.facts.failed = ""
}

// watched is what looks at what the process stands on. It is there while Run runs.
func (f *facts) watched() *health.Watch {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.watch
}

// loseDeleted gives up the writing of partitions whose streams were deleted, which shows by itself only when there is
// something to write. They come back as those do that could not be written.
func (s *session) loseDeleted(ctx context.Context) error {
	for {
		name := s.c.facts.watched().NextGone(ctx)
		if name == "" {
			return nil
		}
		err := s.OnMain(ctx, func(context.Context) error {
			for _, p := range s.Parts {
				if w := p.Writer.Load(); w != nil && s.c.cfg.Source.ShapeStream(p.N) == name {
					w.Kill(fmt.Errorf("stream %s was deleted: %w", name, jetstream.ErrStreamNotFound))
				}
			}
			return nil
		})
		if err != nil {
			return service.IgnoreOver(ctx, err)
		}
	}
}

// Health is what the consumer knows of its own work now. It is cheap and may be called at any time.
func (c *Consumer) Health() health.Facts {
	f := health.Facts{Turned: c.stats.Loops.Turned(), Harm: c.harm.Get()}
	select {
	case <-c.ready:
	default:
		f.Starting = "the control plane does not answer yet"
	}
	for _, d := range c.down.get() {
		f.Parts = append(f.Parts, fmt.Sprintf("partition %d cannot be written: %s", d.Partition, d.Reason))
	}
	f.Work, f.Moved = c.facts.pace.Now()
	if c.stats.Owned.Load() > 0 && c.stats.Unread.Load() > 0 {
		f.Work, f.Moved = true, c.stats.Heard.Last()
	}
	c.facts.mu.Lock()
	defer c.facts.mu.Unlock()
	standby := c.stats.Owned.Load() == 0 && !c.facts.joined.IsZero() && time.Since(c.facts.joined) > standbyAfter
	if !standby {
		f.Failed = c.facts.failed
	}
	if c.facts.watch != nil {
		c.facts.watch.Into(&f)
	}
	return f
}

// newWatch looks at what a consumer stands on. What is made by others, and what it makes for each partition that it holds,
// may be missing for a while; without its buckets it has to begin again.
func (c *Consumer) newWatch(js jetstream.JetStream) *health.Watch {
	src := c.cfg.Source
	w := health.NewWatch(js)
	for _, bucket := range []string{src.ShapeBucket(), src.RelationBucket(), src.LeaseBucket(), src.MemberBucket()} {
		w.Streams = append(w.Streams, "KV_"+bucket)
	}
	w.Needs(src.ChangeStream())
	w.Postgres = c.askPostgres
	w.Looked = func(ctx context.Context) {
		c.facts.pace.See(c.stats.Owned.Load() > 0, c.stats.Messages.Load()+c.stats.Sessions.Load(), w.Last(src.ChangeStream()), time.Now())
		if head, _, err := changelog.Head(ctx, js, src); err == nil {
			c.facts.head.Store(uint64(head.LSN))
		}
	}
	return w
}

// askPostgres asks over another connection than those that are kept: they would not tell of a password that has changed.
func (c *Consumer) askPostgres(ctx context.Context) error {
	conn, err := pg.Connect(ctx, c.pg.Config)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return conn.Ping(ctx)
}

// lag is how far the main loop is behind: WAL in bytes up to the change log's end as it was seconds ago, and the time since
// the commit that it applied last. Both are 0 when it has read everything, or follows nothing.
func (c *Consumer) lag(now time.Time) (bytes int64, behind time.Duration) {
	work, _ := c.facts.pace.Now()
	if c.stats.Owned.Load() == 0 || !work && c.stats.Unread.Load() == 0 {
		return 0, 0
	}
	if head, applied := c.facts.head.Load(), c.stats.Applied.Load(); applied > 0 && head > applied {
		bytes = int64(head - applied)
	}
	if at := c.stats.Committed.Load(); at > 0 {
		behind = max(now.Sub(time.UnixMicro(at)), 0)
	}
	return bytes, behind
}
