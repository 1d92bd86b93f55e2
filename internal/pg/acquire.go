package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Acquire takes a connection from a pool that works, for somebody who waits for an answer. A server that has restarted or
// failed over leaves broken ones in the pool, which are no reason to refuse a request; releasing one drops it. It
// costs a round trip, so who tries again by itself takes what the pool has.
func Acquire(ctx context.Context, pool *pgxpool.Pool) (*pgxpool.Conn, error) {
	for range pool.Config().MaxConns {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			return nil, fmt.Errorf("connect to Postgres: %w", err)
		}
		if conn.Ping(ctx) == nil {
			return conn, nil
		}
		conn.Release()
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to Postgres: %w", err)
	}
	return conn, nil
}
