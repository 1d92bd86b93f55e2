package consumer

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/services/consumer/changelog"
)

// barrierTime bounds the writing of a barrier: a server that has vanished does not say so.
const barrierTime = 30 * time.Second

// barrier writes one into the WAL, which flushes and sends all before it.
func (s *session) barrier(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, barrierTime)
	defer cancel()
	conn, err := s.c.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect to Postgres: %w", err)
	}
	defer conn.Release()
	_, err = pg.EmitBarrier(ctx, conn.Conn(), topology.BarrierPrefix, name)
	return err
}

// nudge writes a barrier for somebody who waits for the change log to go on, when the one before
// did not come. It has a connection of its own, one for all who nudge: those that are kept may lead
// to a server that another one has replaced. What fails is tried again by the next nudge.
func (s *session) nudge(ctx context.Context, name string) {
	s.failedToNudge(ctx, s.freshBarrier(ctx, name))
}

// freshBarrier is barrier over another connection than those that are kept.
func (s *session) freshBarrier(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, barrierTime)
	defer cancel()
	select {
	case s.c.nudging <- struct{}{}:
		defer func() { <-s.c.nudging }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	conn, err := pg.Connect(ctx, s.c.pgConfig)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = pg.EmitBarrier(ctx, conn, topology.BarrierPrefix, name)
	return err
}

// failedToNudge tells of an error, if there is one.
func (s *session) failedToNudge(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	s.c.stats.LastError.Store(err.Error())
	s.log.WarnContext(ctx, "cannot write into the database's WAL; shapes that wait for the change log to go on may stand still", slog.Any("error", err))
}

// reconnect lets go of all connections that are kept, as some of them lead to a
// server that another one has replaced.
func (c *Consumer) reconnect() {
	c.pool.Reset()
	c.unitPool.Reset()
}

// keepMoving writes a barrier from time to time while somebody waits for the
// change log to go on, and it does not: the database is idle, and the barrier
// that was to move it may have been lost with a server.
func (s *session) keepMoving(ctx context.Context, nudge func(context.Context)) error {
	var before changelog.Place
	for ctx.Err() == nil {
		service.WaitFor(ctx, s.c.cfg.Nudge)
		stuck := false
		err := s.onMain(ctx, func(context.Context) error {
			stuck = s.read == before && len(s.groups)+len(s.parked) > 0
			before = s.read
			return nil
		})
		if err != nil {
			return ignoreOver(ctx, err)
		}
		if stuck {
			nudge(ctx)
		}
	}
	return nil
}
