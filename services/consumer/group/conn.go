package group

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

// unitConn is a connection for a unit's snapshot.
type unitConn struct {
	c    *pgx.Conn
	pool *pgxpool.Conn // where c comes from; nil if somebody else gives it back
	give func()
}

func (c *unitConn) conn() *pgx.Conn { return c.c }

// Conns are the connections for the snapshots of units. Safe for concurrent use.
type Conns struct {
	pool         *pgxpool.Pool
	later, first *ladder // who may take one: for units of live shapes, and for those in which shapes begin
}

// NewConns takes connections from a pool of maxUnits + maxFirstUnits.
func NewConns(pool *pgxpool.Pool) *Conns {
	return &Conns{pool: pool, later: newLadder(MaxUnits), first: newLadder(MaxFirstUnits)}
}

// connect waits until the group may have a connection.
func (g *group) connect(ctx context.Context) (*unitConn, error) {
	if g.rebase != nil {
		return &unitConn{c: g.rebase.conn}, nil
	}
	if g.kept != nil {
		return &unitConn{c: g.kept.conn()}, nil
	}
	conns := g.s.conns
	ladder := conns.later
	if !g.stages[0].began {
		ladder = conns.first
	}
	give, err := ladder.take(ctx, g.stages[0].depth)
	if err != nil {
		return nil, err
	}
	conn, err := conns.pool.Acquire(ctx)
	if err != nil {
		give()
		return nil, fmt.Errorf("connect to Postgres: %w", err)
	}
	return &unitConn{conn.Conn(), conn, give}, nil
}

// keep makes a connection that of the next unit. done ends that unit and gives the connection back.
func (g *group) keep(ctx context.Context, conn *unitConn) (done func()) {
	g.kept = conn
	return func() {
		if g.unit != nil {
			g.unit.close(context.WithoutCancel(ctx))
			g.unit = nil
		}
		g.kept = nil
		conn.close()
	}
}

// close gives the connection back.
func (c *unitConn) close() {
	if c.pool == nil {
		return
	}
	c.pool.Release()
	c.give()
}
