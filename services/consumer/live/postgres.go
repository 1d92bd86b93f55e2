package live

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/snapshots"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
)

// Postgres is how the consumer speaks with the database. Safe for concurrent use.
type Postgres struct {
	Config  *pgx.ConnConfig
	Pool    *pgxpool.Pool // for questions
	units   *pgxpool.Pool // for the snapshots of units
	nudging chan struct{} // has room for one who writes a barrier over a connection of its own
}

// NewPostgres takes the pools, which the caller closes.
func NewPostgres(config *pgx.ConnConfig, pool, units *pgxpool.Pool) *Postgres {
	return &Postgres{Config: config, Pool: pool, units: units, nudging: make(chan struct{}, 1)}
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
	p.units.Reset()
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
