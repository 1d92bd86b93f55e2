package preflight

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
)

// checkSession finds out whether a session is as it was asked for. Values that print in another way would differ between
// snapshot and stream.
func checkSession(ctx context.Context, conn *pgx.Conn) Finding {
	wrong, err := pg.WrongSettings(ctx, conn)
	switch {
	case err != nil:
		return fail("session", "", "%s", err)
	case len(wrong) > 0:
		return fail("session", "", "what a session is opened with is ignored: %s; this is a connection pooler, give the address of Postgres itself", strings.Join(wrong, ", "))
	}
	return ok("session", "a session has the settings that it is opened with")
}

// checkConnections compares what the services may open with the room that there is.
func checkConnections(ctx context.Context, conn *pgx.Conn, want int) Finding {
	const name = "max_connections"
	var room, used int
	err := conn.QueryRow(ctx, `SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
		(SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend' AND application_name NOT LIKE 'shapebus/%')`).Scan(&room, &used)
	if err != nil {
		return fail(name, "", "cannot be read: %s", err)
	}
	if used+want > room {
		return warn(name, "", "there is room for %d connections, others have %d now and Shapebus may open %d: raise it, or run fewer consumers", room, used, want)
	}
	return ok(name, "there is room for %d connections, others have %d now and Shapebus may open %d", room, used, want)
}
