package live

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/slots"
	"github.com/shapebus/shapebus/internal/pg/snapshots"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
)

// Postgres is how the consumer speaks with the database. Safe for concurrent use.
type Postgres struct {
	Config  *pgx.ConnConfig
	Pool    *pgxpool.Pool // for questions
	Units   *pgxpool.Pool // for the snapshots of units
	nudging chan struct{} // has room for one who writes a barrier over a connection of its own
	feeds   atomic.Pointer[pg.Database]
}

// OpenPostgres makes pools of so many connections, and connects when they are first used. Each connection is compared with
// the database that feeds the source, once Compare has found out which that is.
func OpenPostgres(ctx context.Context, config *pgx.ConnConfig, lockTimeout time.Duration, questions, units int32) (*Postgres, error) {
	p := &Postgres{Config: config, nudging: make(chan struct{}, 1)}
	p.feeds.Store(&pg.Database{})
	pg.Only(config, func(context.Context) (pg.Database, error) { return *p.feeds.Load(), nil })
	pooled, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, fmt.Errorf("prepare the connection pool: %w", err)
	}
	pooled.ConnConfig = config.Copy()
	// A request asks Postgres about its clause, which waits for tables that somebody has locked.
	pooled.ConnConfig.RuntimeParams["lock_timeout"] = strconv.FormatInt(lockTimeout.Milliseconds(), 10)
	pooled.MaxConns, pooled.MinConns = questions, 0
	if p.Pool, err = pgxpool.NewWithConfig(ctx, pooled); err != nil {
		return nil, fmt.Errorf("prepare the connection pool: %w", err)
	}
	pooled = pooled.Copy()
	pooled.ConnConfig = config
	pooled.MaxConns, pooled.MaxConnIdleTime = units, time.Minute
	if p.Units, err = pgxpool.NewWithConfig(ctx, pooled); err != nil {
		p.Pool.Close()
		return nil, fmt.Errorf("prepare the connection pool: %w", err)
	}
	return p, nil
}

// Close waits until all connections of the pools are given back.
func (p *Postgres) Close() {
	p.Units.Close()
	p.Pool.Close()
}

// compareTime bounds how long Compare waits for a database, which need not be there, and is how often Watch looks.
const compareTime = 2 * time.Second

// Compare makes sure that this is the database that feeds the source, as ingest has recorded it, and keeps connections from
// any other: what stands in another one says nothing of the source's shapes. The error is a pg.OtherDatabaseError then. A
// database that cannot be reached is compared when it can. known says that there is a record.
func (p *Postgres) Compare(ctx context.Context, js jetstream.JetStream, source topology.Source) (known bool, err error) {
	feeds, err := registry.Feeder(ctx, js, source)
	if err != nil {
		return false, err
	}
	if was := p.feeds.Swap(&feeds); *was != feeds {
		p.Reconnect()
	}
	ctx, cancel := context.WithTimeout(ctx, compareTime)
	defer cancel()
	conn, err := p.Pool.Acquire(ctx)
	if err == nil {
		conn.Release()
	}
	if other, ok := errors.AsType[*pg.OtherDatabaseError](err); ok {
		return true, fmt.Errorf("%w; give the URL of the one that feeds it, or have the source begin again with this one: shapebus source reset", other)
	}
	return feeds != pg.Database{}, nil
}

// Watch compares now and then, and returns the error once another database feeds the source, as from a reset on it may. It
// returns nil when ctx ends.
func (p *Postgres) Watch(ctx context.Context, js jetstream.JetStream, source topology.Source) error {
	for service.WaitFor(ctx, compareTime) {
		_, err := p.Compare(ctx, js, source)
		if _, other := errors.AsType[*pg.OtherDatabaseError](err); other {
			return err
		}
	}
	return nil
}

// HasSlot fails if the slot has not been made yet. Ingest makes it last, and
// what commits before, nobody will tell of: no snapshot may be older. A change log with a
// message in it has had its slot.
func (p *Postgres) HasSlot(ctx context.Context, name string) error {
	conn, err := p.Pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect to Postgres: %w", err)
	}
	defer conn.Release()
	slot, err := slots.Lookup(ctx, conn.Conn(), name)
	if err == nil && slot.ConfirmedFlush == 0 { // also while it is being made
		err = fmt.Errorf("the change log is empty and there is no replication slot %s yet; ingest makes it when the transactions that are writing now have ended", name)
	}
	return err
}

// barrierTime bounds the writing of a barrier: a server that has vanished does not say so.
const barrierTime = 30 * time.Second

// barrier writes one into the WAL, which flushes and sends all before it.
func (p *Postgres) barrier(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, barrierTime)
	defer cancel()
	conn, err := p.Pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect to Postgres: %w", err)
	}
	defer conn.Release()
	_, err = pg.EmitBarrier(ctx, conn.Conn(), topology.BarrierPrefix, name)
	return err
}

// freshBarrier is barrier over another connection than those that are kept.
func (p *Postgres) freshBarrier(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, barrierTime)
	defer cancel()
	select {
	case p.nudging <- struct{}{}:
		defer func() { <-p.nudging }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	conn, err := pg.Connect(ctx, p.Config)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = pg.EmitBarrier(ctx, conn, topology.BarrierPrefix, name)
	return err
}

// Reconnect lets go of all connections that are kept, as some of them lead to a
// server that another one has replaced.
func (p *Postgres) Reconnect() {
	p.Pool.Reset()
	p.Units.Reset()
}

// currentSnapshot asks Postgres what a new snapshot sees.
func (p *Postgres) currentSnapshot(ctx context.Context) (change.Snapshot, error) {
	conn, err := p.Pool.Acquire(ctx)
	if err != nil {
		return change.Snapshot{}, fmt.Errorf("connect to Postgres: %w", err)
	}
	defer conn.Release()
	return snapshots.Current(ctx, conn.Conn())
}

// What Postgres says of a shape's table: that it can be followed, that it is not what it was, or why the shape has to end.

// Fence makes sure that the stream carries the table whole.
func (s *Loop) Fence(ctx context.Context, conn *pgx.Conn, schema, name string) (*pg.TableInfo, error) {
	table, err := pg.LookupTable(ctx, conn, schema, name, s.Preparer.Publication())
	if err != nil {
		return nil, FinalIfPermanent(err)
	}
	if table, err = s.Preparer.Prepare(ctx, conn, table); err != nil {
		return nil, FinalIfPermanent(err)
	}
	return table, nil
}

// TableChanged says what changed. now is nil when the table is gone.
func TableChanged(was, now *pg.TableInfo) string {
	if d := was.Diff(now); d != "" {
		return d
	}
	return fmt.Sprintf("table %s changed", was)
}

// FinalError is an error that no repetition cures: the shape ends with it.
type FinalError struct{ Err error }

func (e *FinalError) Error() string { return e.Err.Error() }

func (e *FinalError) Unwrap() error { return e.Err }

// FinalIfPermanent sorts what Postgres says of a shape's table: an error that
// only a person can cure ends the shape, with any other it is tried again.
func FinalIfPermanent(err error) error {
	if pg.Permanent(err) {
		return &FinalError{err}
	}
	return err
}
