// Package conns are the connections to Postgres for the snapshots of units: how many there may be, and who gets the next one.
package conns

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// How many connections to Postgres units may have at once. Live shapes have
// theirs and shapes that are being created have others: reading all rows of new shapes,
// however large, must not hold up a revocation.
//
// Each must be as many as subqueries may be nested deep (package predicate): every depth needs
// one that deeper shapes cannot take; see ladder.
const (
	MaxUnits      = 8
	MaxFirstUnits = 8
)

// Conn is a connection for a unit's snapshot.
type Conn struct {
	c    *pgx.Conn
	pool *pgxpool.Conn // where c comes from; nil if somebody else gives it back
	give func()
}

// Borrowed is a connection that somebody else gives back.
func Borrowed(c *pgx.Conn) *Conn { return &Conn{c: c} }

// Conn is what snapshots are opened on.
func (c *Conn) Conn() *pgx.Conn { return c.c }

// Close gives the connection back.
func (c *Conn) Close() {
	if c.pool == nil {
		return
	}
	c.pool.Release()
	c.give()
}

// Pool has the connections. Safe for concurrent use.
type Pool struct {
	pool         *pgxpool.Pool
	later, first *ladder // who may take one: for units of live shapes, and for those in which shapes begin
}

// NewPool takes connections from a pool of MaxUnits + MaxFirstUnits.
func NewPool(pool *pgxpool.Pool) *Pool {
	return &Pool{pool: pool, later: newLadder(MaxUnits), first: newLadder(MaxFirstUnits)}
}

// Take waits until a unit of shapes of some depth may have a connection. begins says that a shape begins with it.
func (p *Pool) Take(ctx context.Context, depth int, begins bool) (*Conn, error) {
	ladder := p.later
	if begins {
		ladder = p.first
	}
	give, err := ladder.take(ctx, depth)
	if err != nil {
		return nil, err
	}
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		give()
		return nil, fmt.Errorf("connect to Postgres: %w", err)
	}
	return &Conn{conn.Conn(), conn, give}, nil
}
