package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/shapebus/shapebus/internal/health"
	"github.com/shapebus/shapebus/internal/ownership"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/create"
	"github.com/shapebus/shapebus/services/consumer/fold"
	"github.com/shapebus/shapebus/services/consumer/group"
	"github.com/shapebus/shapebus/services/consumer/group/conns"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/plane"
	"github.com/shapebus/shapebus/services/consumer/plane/allow"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
	"github.com/shapebus/shapebus/services/consumer/tables"
	"github.com/shapebus/shapebus/services/consumer/valuesets"
)

// others are the connections to Postgres beside those of the pools and of snapshots: barriers, what is asked of a new server,
// and whether the server can be reached at all.
const others = 3

// MostConnections is how many a consumer that reads so many snapshots and folds so many logs at once may open to Postgres.
func MostConnections(snapshots, folds int) int {
	return plane.MaxAsking + ownQuestions + conns.MaxUnits + conns.MaxFirstUnits + snapshots + folds + others
}

// ownQuestions are the connections that the consumer's own questions find beside those of requests.
const ownQuestions = 4

// role names the process in Postgres' application_name.
const role = topology.RoleConsumer

// Run serves until ctx ends; then it returns nil. It returns an error only
// when a person must act: the database URL cannot be read, the source is
// set up otherwise, or the NATS server is too old. Everything else is retried, logged and counted.
//
// Ending ctx leaves what is appended appended; the next process goes on there.
func (c *Consumer) Run(ctx context.Context) error {
	cfg, err := pg.ParseConfig(c.cfg.DatabaseURL, role)
	if err != nil {
		return err
	}
	if c.pg, err = live.OpenPostgres(ctx, cfg, c.cfg.LockTimeout, plane.MaxAsking+ownQuestions, conns.MaxUnits+conns.MaxFirstUnits); err != nil {
		return err
	}
	defer c.pg.Close()
	c.conns = conns.NewPool(c.pg.Units)
	js, err := topology.JetStream(c.cfg.NATS, c.cfg.APIPrefix)
	if err != nil {
		return fmt.Errorf("consumer: %w", err)
	}
	allowed, err := allow.Parse(c.cfg.AllowTables)
	if err != nil {
		return err
	}
	watch := c.newWatch(js)
	c.facts.watching(watch)
	ctx, end := context.WithCancel(ctx)
	var looking sync.WaitGroup
	looking.Go(func() { _ = watch.Run(ctx) }) // it returns nil
	defer looking.Wait()
	defer end()
	for ctx.Err() == nil {
		if err := c.serve(ctx, js, watch, allowed); err != nil {
			return err
		}
	}
	return nil
}

// serve prepares what must be there, answers requests and fills shape logs until ctx ends or a bucket has gone: then all of
// this has to begin again.
func (c *Consumer) serve(ctx context.Context, js jetstream.JetStream, watch *health.Watch, allowed allow.Tables) error {
	var pause service.Backoff
	var refusals service.Insist
	for {
		err := c.prepare(ctx, js)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			break
		}
		if _, ok := errors.AsType[*live.FinalError](err); ok || errors.Is(err, topology.ErrNoAtomicBatches) || refusals.Final(err, time.Now()) {
			return err
		}
		c.facts.fail(err)
		c.stats.Retry(ctx, c.log, "get ready", err, &pause)
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	partitions := c.partitions.Load()
	go c.stats.Keep(ctx, c.log, "watch the number of partitions", func(ctx context.Context) error {
		return service.Endless(ctx, c.shapes.KeepPartitions(ctx, partitions))
	})
	stop, err := plane.Serve(ctx, plane.Config{
		Quotas: plane.Quotas{Shapes: c.cfg.MaxShapes, ClauseBytes: c.cfg.MaxClauseBytes}, Allowed: allowed,
		Source: c.cfg.Source, NATS: c.cfg.NATS, JS: js, Pool: c.pg.Pool, Shapes: c.shapes, Tables: c.tables, Publication: c.cfg.Publication,
		Slot: c.cfg.Slot, Connections: MostConnections(c.cfg.Snapshots, c.cfg.Folds), Partitions: partitions, Version: c.cfg.Version, Costs: c.costs, Log: c.log,
	})
	if err != nil {
		return err
	}
	defer stop() // others answer meanwhile
	for pause.Reset(); ; {
		err := plane.Reach(ctx, c.cfg.NATS)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return nil
		}
		c.stats.Retry(ctx, c.log, "tell NATS of the control plane", err, &pause)
	}
	c.once.Do(func() { close(c.ready) })
	go func() {
		if err := watch.Gone(ctx); err != nil {
			c.log.ErrorContext(ctx, "what the consumer keeps its records in was deleted; beginning again with what is left", slog.Any("error", err))
			c.facts.fail(err)
			end(err)
		}
	}()
	go func() {
		if err := c.pg.Watch(ctx, js, c.cfg.Source); err != nil {
			c.log.ErrorContext(ctx, "this is not the source's database any more; answering nobody and writing nothing until it is", slog.Any("error", err))
			c.facts.fail(err)
			end(err)
		}
	}()
	c.stats.Keep(ctx, c.log, "fill shape logs", func(ctx context.Context) error {
		err := c.share(ctx, js)
		if err != nil {
			c.facts.fail(err)
		}
		return err
	})
	return nil
}

// share takes part in writing shape logs until something goes wrong. Then the process gives back what it holds, and others go
// on; it takes part again after a pause.
func (c *Consumer) share(ctx context.Context, js jetstream.JetStream) error {
	grants := newGrants()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return service.Endless(ctx, ownership.Run(ctx, ownership.Config{
			NATS: c.cfg.NATS, JS: js, Source: c.cfg.Source, Role: topology.RoleConsumer, Name: c.cfg.Name, Partitions: c.partitions.Load(),
			Log: c.log, Moves: &c.stats.Moves,
		}, c.facts.join, func(ctx context.Context, h ownership.Held) {
			c.stats.Owned.Add(1)
			defer c.stats.Owned.Add(-1)
			defer c.facts.watched().Needs(c.cfg.Source.ShapeStream(h.Partition))()
			grants.work(ctx, h)
		}))
	})
	group.Go(func() error { return c.fill(ctx, js, grants) })
	return group.Wait()
}

// fill writes shape logs while this process holds partitions, until something goes wrong.
func (c *Consumer) fill(ctx context.Context, js jetstream.JetStream, grants *grants) error {
	for {
		held := grants.first(ctx)
		if len(held) == 0 {
			return nil
		}
		maps.DeleteFunc(held, func(p int, _ ownership.Held) bool { return !grants.use(p) })
		err := c.session(ctx, js, grants, held)
		grants.releaseAll()
		if err != nil && !errors.Is(err, errNothingHeld) {
			return service.IgnoreEnd(ctx, err)
		}
	}
}

// prepare creates what must be there before anything can be asked for.
func (c *Consumer) prepare(ctx context.Context, js jetstream.JetStream) error {
	src := c.cfg.Source
	if err := src.EnsureRegistry(ctx, js, c.cfg.ShapeLogs.Replicas); err != nil {
		return err
	}
	shapes, err := registry.OpenShapes(ctx, js, src)
	if err != nil {
		return err
	}
	if err := src.EnsureRelations(ctx, js, c.cfg.ShapeLogs.Replicas); err != nil {
		return err
	}
	if err := src.EnsureMembers(ctx, js, c.cfg.ShapeLogs.Replicas); err != nil {
		return err
	}
	if _, err := c.pg.Compare(ctx, js, src); err != nil {
		return err
	}
	prepared, err := registry.OpenPrepared(ctx, js, src)
	if err != nil {
		return err
	}
	c.tables = tables.NewPreparer(tables.Config{
		Pool: c.pg.Pool, Records: prepared, Publication: c.cfg.Publication, LockTimeout: c.cfg.LockTimeout, Grace: c.cfg.TableGrace, Leave: c.cfg.LeaveTables,
		LookEvery: c.cfg.CatalogInterval, Harm: &c.harm, Log: c.log, Failpoint: c.cfg.Failpoint,
	})
	have, err := shapes.EnsureSource(ctx, registry.Source{Partitions: c.cfg.Partitions, Publication: c.cfg.Publication, Slot: c.cfg.Slot})
	if errors.Is(err, registry.ErrSetUpOtherwise) {
		return &live.FinalError{Err: err}
	}
	if err != nil {
		return err
	}
	if have.Partitions != c.cfg.Partitions {
		c.log.InfoContext(ctx, "the source has another number of partitions than this process would give a new one; shapebus source set gives it more",
			slog.Int("has", have.Partitions), slog.Int("new", c.cfg.Partitions))
	}
	c.shapes = shapes
	c.partitions.Store(registry.NewPartitions(have.Partitions))
	return c.ensureShapeLogs(ctx, js, have.Partitions)
}

// ensureShapeLogs prepares the streams of all partitions. Those that cannot be
// prepared are down from the start; it fails if all are.
func (c *Consumer) ensureShapeLogs(ctx context.Context, js jetstream.JetStream, partitions int) error {
	var failed error
	left := partitions
	for n := range partitions {
		err := c.cfg.Source.EnsureShapeLog(ctx, js, n, c.cfg.ShapeLogs)
		if err == nil {
			continue
		}
		if failed, left = err, left-1; ctx.Err() != nil || !c.cfg.NATS.IsConnected() || left == 0 {
			return failed
		}
		c.log.WarnContext(ctx, "a partition's stream is not as it should be", slog.Int("partition", n), slog.Any("error", err))
	}
	return nil
}

// session writes shape logs until something ends it. It begins with the partitions in held, and goes on with what is granted.
func (c *Consumer) session(ctx context.Context, js jetstream.JetStream, grants *grants, held map[int]ownership.Held) error {
	src := c.cfg.Source
	changes, err := js.Stream(ctx, src.ChangeStream())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("there is no change log yet; it comes with the first start of ingest: %w", err)
	}
	if err != nil {
		return topology.Explain(err)
	}
	known, err := c.pg.Compare(ctx, js, src)
	if err == nil && !known {
		err = errors.New("ingest has not recorded yet which database feeds the source; it does when it starts")
	}
	if err != nil {
		return err
	}
	if changes.CachedInfo().State.LastSeq == 0 {
		if err := c.pg.HasSlot(ctx, c.cfg.Slot); err != nil {
			return err
		}
	}
	relations, err := registry.OpenRelations(ctx, js, src)
	if err != nil {
		return err
	}
	l := live.NewLoop(&live.Config{
		Name: c.cfg.Name, Source: src, NATS: c.cfg.NATS, Checkpoint: c.cfg.Checkpoint, PendingBytes: c.cfg.PendingBytes, RecentBytes: c.cfg.RecentBytes,
		MostRows: c.cfg.MaxShapeRows, Nudge: c.cfg.Nudge, Snapshots: c.cfg.Snapshots, Failpoint: c.cfg.Failpoint,
	}, &c.stats, c.log)
	l.JS, l.Changes, l.Shapes, l.Relations, l.Preparer, l.Postgres = js, changelog.NewLog(js, changes), c.shapes, relations, c.tables, c.pg
	l.Feed = changelog.NewFeed(src, relations, new(wire.ChangeDecoder))
	l.Sets = valuesets.NewSets(valuesets.Config{
		JS: js, Source: src, Replicas: c.cfg.ShapeLogs.Replicas, Log: c.log, Values: &c.stats.Values, Trouble: &c.stats.Trouble, Poisoned: l.PoisonedSet,
	})
	groups := group.NewGroups(l, c.conns)
	s := &session{
		Loop: l, c: c, grants: grants, held: held, leaving: map[int]bool{}, purging: map[int]bool{}, creator: create.NewCreator(l), groups: groups,
		folder: fold.NewFolder(l, groups, fold.Config{
			Limits: fold.Limits{Factor: c.cfg.FoldFactor, Least: c.cfg.FoldLeast}, AtOnce: c.cfg.Folds, Grace: c.cfg.FoldGrace, Sync: c.cfg.SyncInterval, Every: c.cfg.FoldEvery,
		}),
		look: make(chan struct{}, 1), truncations: truncations{}, barriers: map[string]chan struct{}{},
	}
	l.Above = s
	s.keeper = c.tables.NewKeeper(s.usedTables, s.endOnTable)
	logs := &shapelog.Config{
		NATS: c.cfg.NATS, JS: js, APIPrefix: c.cfg.APIPrefix, Source: src, WindowBytes: c.cfg.WindowBytes, Stall: c.cfg.Stall, SegmentBytes: c.cfg.SnapshotBytes,
		Builders: shapelog.NewBuilders(), Messages: &c.stats.Appended, Bytes: &c.stats.Bytes, Wrote: &c.stats.Wrote, Stored: &c.stats.Stored, Grown: c.stats.Grown, Failpoint: c.cfg.Failpoint, Tracer: c.cfg.Tracer,
	}
	for n := range topology.MaxPartitions { // the source may get more while the session lasts
		s.Parts = append(s.Parts, &live.Partition{Partition: shapelog.NewPartition(logs, n), Since: time.Now(), Pause: service.Backoff{Most: maxReturn}})
	}
	if err := s.openParts(ctx); err != nil {
		s.CloseParts()
		return err
	}
	return s.Run(ctx, s.main)
}
