package consumer

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/shapebus/shapebus/pkg/pg"
	"github.com/shapebus/shapebus/pkg/topology"
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

// nudge writes a barrier for somebody who waits for the change log to go on. again says that
// the one before it did not come.
func (s *session) nudge(ctx context.Context, name string, again bool) error {
	if again { // the connections that are kept may lead to a server that another one has replaced
		s.c.pool.Reset()
	}
	return s.barrier(ctx, name)
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
func (s *session) keepMoving(ctx context.Context, barrier func(context.Context) error) error {
	var before place
	for ctx.Err() == nil {
		waitFor(ctx, s.c.cfg.Nudge)
		stuck := false
		err := s.onMain(ctx, func(context.Context) error {
			stuck = s.read == before && len(s.groups)+len(s.parked) > 0
			before = s.read
			return nil
		})
		if err != nil {
			return ignoreOver(ctx, err)
		}
		if !stuck {
			continue
		}
		if err := barrier(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "cannot write into the database's WAL; shapes that wait for it to go on stand still", slog.Any("error", err))
		}
	}
	return nil
}
