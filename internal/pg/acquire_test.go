package pg_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

// TestARequestDoesNotMeetBrokenConnections, which a restart of the server leaves in the pool.
func TestARequestDoesNotMeetBrokenConnections(t *testing.T) {
	pool, err := pgxpool.New(t.Context(), pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var pids []uint32
	var all []*pgxpool.Conn
	for range 3 {
		c, err := pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
		pids = append(pids, c.Conn().PgConn().PID())
	}
	for _, c := range all {
		c.Release()
	}
	admin, err := pgx.Connect(t.Context(), pool.Config().ConnString())
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.WithoutCancel(t.Context()))
	if _, err := admin.Exec(t.Context(), "SELECT pg_terminate_backend(pid, 30000) FROM unnest($1::int[]) pid", pids); err != nil {
		t.Fatal(err)
	}
	conn, err := pg.Acquire(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(t.Context(), "SELECT 1"); err != nil {
		t.Fatal(err)
	}
}
