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

	"github.com/shapebus/shapebus/internal/health"
	"github.com/shapebus/shapebus/internal/ownership"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/topology"
)

// Run serves until ctx ends; then it returns nil. Whatever goes wrong is retried,
// logged and counted; it returns an error only if NATS cannot be used at all, or is too old.
//
// Ending ctx leaves what is stored stored; the next process goes on there.
func (m *Materializer) Run(ctx context.Context) error {
	js, err := topology.JetStream(m.cfg.NATS, m.cfg.APIPrefix)
	if err != nil {
		return fmt.Errorf("materializer: %w", err)
	}
	watch := m.newWatch(js)
	ctx, end := context.WithCancel(ctx)
	var looking sync.WaitGroup
	looking.Go(func() { _ = watch.Run(ctx) }) // it returns nil
	defer looking.Wait()
	defer end()
	var pause service.Backoff
	for ctx.Err() == nil {
		partitions, shapes, err := m.await(ctx, js)
		if err != nil {
			return fmt.Errorf("materializer: %w", err)
		}
		if ctx.Err() != nil {
			return nil
		}
		began := time.Now()
		err = m.share(ctx, js, watch, registry.NewPartitions(partitions), shapes)
		pause.Lasted(time.Since(began))
		m.facts.fail(err)
		m.stats.Retry(ctx, m.log, "share the partitions", err, &pause)
	}
	return nil
}

// await prepares until that succeeds or ctx ends, or a person must act.
func (m *Materializer) await(ctx context.Context, js jetstream.JetStream) (partitions int, shapes *registry.Shapes, err error) {
	var pause service.Backoff
	var refusals service.Insist
	for ctx.Err() == nil {
		source, shapes, err := m.prepare(ctx, js)
		if err == nil || errors.Is(err, topology.ErrNoAtomicBatches) || refusals.Final(err, time.Now()) {
			return source.Partitions, shapes, err
		}
		m.facts.fail(err)
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

// share takes part in following the partitions until something ends it.
func (m *Materializer) share(ctx context.Context, js jetstream.JetStream, watch *health.Watch, partitions *registry.Partitions, shapes *registry.Shapes) error {
	group, ctx := errgroup.WithContext(ctx)
	w := newWants()
	group.Go(func() error { return watch.Gone(ctx) })
	group.Go(func() error { return service.Endless(ctx, shapes.KeepPartitions(ctx, partitions)) })
	loaded := make(chan struct{})
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
		select {
		case <-loaded:
		case <-ctx.Done():
			return nil
		}
		return service.Endless(ctx, ownership.Run(ctx, ownership.Config{
			NATS: m.cfg.NATS, JS: js, Source: m.cfg.Source, Role: topology.RoleMaterializer, Name: m.cfg.Name, Partitions: partitions, Log: m.log, Moves: &m.stats.Moves,
		}, func() {
			m.facts.fail(nil)
			select {
			case <-m.ready:
			default:
				close(m.ready)
			}
		}, func(ctx context.Context, h ownership.Held) {
			m.stats.Keep(ctx, m.log, fmt.Sprintf("follow partition %d", h.Partition), func(ctx context.Context) error {
				err := m.own(ctx, js, watch, h.Partition, shapes, w)
				if ctx.Err() == nil {
					m.facts.part(h.Partition, err)
				}
				return err
			})
			m.facts.part(h.Partition, nil)
		}))
	})
	return group.Wait()
}
