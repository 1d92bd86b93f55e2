package materializer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/topology"
)

// role names the processes that share the partitions.
const role = "materializer"

// leasePoll is how often a lease that somebody else holds is asked for.
const leasePoll = 250 * time.Millisecond

// Run serves until ctx ends; then it returns nil. Whatever goes wrong is retried,
// logged and counted; it returns an error only if NATS cannot be used at all, or is too old.
//
// Ending ctx leaves what is stored stored; the next process goes on there.
func (m *Materializer) Run(ctx context.Context) error {
	js, err := jetstream.New(m.cfg.NATS)
	if err != nil {
		return fmt.Errorf("materializer: %w", err)
	}
	partitions, shapes, err := m.await(ctx, js)
	if err != nil {
		return fmt.Errorf("materializer: %w", err)
	}
	m.stats.Keep(ctx, m.log, "share the partitions", leasePoll, func(ctx context.Context) error {
		return m.share(ctx, js, partitions, shapes)
	})
	return nil
}

// await prepares until that succeeds or ctx ends, or a person must act.
func (m *Materializer) await(ctx context.Context, js jetstream.JetStream) (partitions int, shapes *registry.Shapes, err error) {
	var pause service.Backoff
	for ctx.Err() == nil {
		source, shapes, err := m.prepare(ctx, js)
		if err == nil || errors.Is(err, topology.ErrNoAtomicBatches) {
			return source.Partitions, shapes, err
		}
		m.stats.Retry(ctx, m.log, "get ready", err, &pause)
	}
	return 0, nil, nil
}

// prepare waits for the source to be set up, which its first consumer does, and
// creates what is the materializer's.
func (m *Materializer) prepare(ctx context.Context, js jetstream.JetStream) (registry.Source, *registry.Shapes, error) {
	src := m.cfg.Source
	shapes, err := registry.OpenShapes(ctx, js, src)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return registry.Source{}, nil, fmt.Errorf("the source is not set up yet; that comes with the first start of a consumer: %w", err)
	}
	if err != nil {
		return registry.Source{}, nil, err
	}
	rec, err := shapes.Source(ctx)
	if errors.Is(err, registry.ErrNotFound) {
		return rec, nil, fmt.Errorf("the source is not set up yet; that comes with the first start of a consumer: %w", err)
	}
	if err != nil {
		return rec, nil, err
	}
	if err := src.EnsureMembers(ctx, js, m.cfg.Replicas); err != nil {
		return rec, nil, err
	}
	return rec, shapes, nil
}

// share takes part in following the partitions until something ends it. Members
// come and go; each process owns what rendezvous hashing gives it.
func (m *Materializer) share(ctx context.Context, js jetstream.JetStream, partitions int, shapes *registry.Shapes) error {
	members, err := registry.OpenMembers(ctx, js, m.cfg.Source)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	w := newWants()
	loaded, joined := make(chan struct{}), make(chan struct{})
	group.Go(func() error {
		return service.Endless(ctx, shapes.Watch(ctx, func(e registry.Event) {
			if e.Err != nil {
				m.log.ErrorContext(ctx, "a shape's record is passed over", slog.String("shape", e.ID), slog.Any("error", e.Err))
				return
			}
			w.Event(e.ID, e.Shape)
		}, func() { close(loaded) }))
	})
	group.Go(func() error {
		return service.Endless(ctx, members.Hold(ctx, role, m.cfg.Name, func() { close(joined) }))
	})
	group.Go(func() error {
		for _, c := range []chan struct{}{loaded, joined} {
			select {
			case <-c:
			case <-ctx.Done():
				return nil
			}
		}
		select {
		case <-m.ready:
		default:
			close(m.ready)
		}
		return m.distribute(ctx, js, members, partitions, shapes, w)
	})
	return group.Wait()
}

// distribute runs a worker for each partition that is this process's.
func (m *Materializer) distribute(ctx context.Context, js jetstream.JetStream, members *registry.Members, partitions int, shapes *registry.Shapes, w *wants) error {
	var workers sync.WaitGroup
	defer workers.Wait()
	running := map[int]context.CancelFunc{}
	defer func() {
		for _, stop := range running {
			stop()
		}
	}()
	return service.Endless(ctx, members.Watch(ctx, role, m.cfg.Name, func(names []string) {
		for p := range partitions {
			stop, runs := running[p]
			switch mine := owner(names, p) == m.cfg.Name; {
			case mine && !runs:
				worker, cancel := context.WithCancel(ctx)
				running[p] = cancel
				workers.Go(func() { m.work(worker, js, p, shapes, w) })
			case !mine && runs:
				m.log.InfoContext(ctx, "partition handed over", slog.Int("partition", p), slog.String("to", owner(names, p)))
				stop()
				delete(running, p)
			}
		}
	}))
}

// work owns a partition until ctx ends, as soon as its lease is free.
func (m *Materializer) work(ctx context.Context, js jetstream.JetStream, partition int, shapes *registry.Shapes, w *wants) {
	var applicant registry.Applicant
	m.stats.Keep(ctx, m.log, fmt.Sprintf("follow partition %d", partition), leasePoll, func(ctx context.Context) error {
		return m.own(ctx, js, &applicant, partition, shapes, w)
	})
}
