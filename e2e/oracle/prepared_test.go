package oracle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/shapebus/shapebus/internal/pg"
)

// prepare runs transactions in two phases. Some stay prepared for long.
func (t *traffic) prepare(ctx context.Context, load *workload) {
	var conn *pgx.Conn
	defer func() { closeConn(ctx, conn) }()
	for n := 0; pause(ctx, load.rng, time.Second); n++ {
		if conn = t.session(ctx, conn); conn == nil {
			continue
		}
		script, ok := strings.CutSuffix(load.transaction(), "COMMIT;")
		if !ok {
			continue
		}
		name := fmt.Sprintf("oracle %p %d", load, n)
		t.run(ctx, conn, script+"PREPARE TRANSACTION '"+name+"';")
		pause(ctx, load.rng, []time.Duration{20 * time.Millisecond, time.Second, 8 * time.Second}[load.rng.IntN(3)])
		verb := "COMMIT"
		if load.rng.IntN(5) == 0 {
			verb = "ROLLBACK"
		}
		conn = t.settle(ctx, load, conn, verb+" PREPARED '"+name+"'")
	}
}

// settle ends a prepared transaction, also when ctx has ended: others wait for its locks as long as it is there. It tries
// again while the server is away.
func (t *traffic) settle(ctx context.Context, load *workload, conn *pgx.Conn, sql string) *pgx.Conn {
	ctx = context.WithoutCancel(ctx)
	for {
		if conn = t.session(ctx, conn); conn != nil {
			err := t.try(ctx, conn, sql)
			if _, answered := errors.AsType[*pgconn.PgError](err); err == nil || answered && !conn.IsClosed() {
				return conn
			}
		}
		pause(ctx, load.rng, 100*time.Millisecond)
	}
}

// resolve ends what is left prepared.
func (w *world) resolve() {
	w.tb.Helper()
	rows, err := w.db.Query(w.tb.Context(), "SELECT gid FROM pg_prepared_xacts")
	if err != nil {
		w.tb.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		w.tb.Fatal(err)
	}
	for _, name := range names {
		w.exec("COMMIT PREPARED '" + name + "'")
	}
}

// toggle has small changes committed in bursts.
func (t *traffic) toggle(ctx context.Context, load *workload) {
	var conn *pgx.Conn
	defer func() { closeConn(ctx, conn) }()
	for pause(ctx, load.rng, 2*time.Second) {
		if conn = t.session(ctx, conn); conn != nil {
			t.run(ctx, conn, load.toggles(load.togglable(), 20+load.rng.IntN(200)))
		}
	}
}

// togglable is a table that toggles can be about.
func (w *workload) togglable() *Table {
	return w.schema.Tables[[]int{projects, projects, tasks, members, wide}[w.rng.IntN(5)]]
}

// toggles is a script of small transactions on a row of a table that subqueries
// select from, or now and then on all of its rows by turns.
func (w *workload) toggles(t *Table, n int) string {
	flag, code := t.column(RoleFlag), t.column(RoleCode)
	var codes []string
	for _, v := range w.schema.Code.Values {
		codes = append(codes, "CAST("+v+" AS "+w.schema.Code.Type+")")
	}
	key, which := t.Columns[t.Key[0]], fmt.Sprint(w.rng.IntN(maxTask))
	if w.rng.IntN(4) == 0 {
		which = "i"
	}
	return fmt.Sprintf(`DO $toggles$ BEGIN FOR i IN 1..%[1]d LOOP
		UPDATE %[2]s SET %[3]s = CASE WHEN i %% 3 > 0 THEN %[3]s IS NOT TRUE ELSE %[3]s END,
			%[4]s = CASE WHEN i %% 3 = 0 THEN (ARRAY[%[5]s])[1 + (random() * %[6]d)::int] ELSE %[4]s END
			WHERE ctid = (SELECT ctid FROM %[2]s WHERE %[7]s < %[8]d ORDER BY %[7]s OFFSET %[9]s %% (SELECT 1 + count(*) FROM %[2]s WHERE %[7]s < %[8]d) LIMIT 1 FOR UPDATE SKIP LOCKED);
		COMMIT; END LOOP; END $toggles$`,
		n, t.SQL(), flag, code, strings.Join(codes, ", "), len(codes)-1, pg.Ident(key.Name), bigID, which)
}

// revoke changes the membership of all rows of a table at once.
func (w *workload) revoke(t *Table) string {
	flag := t.column(RoleFlag)
	return fmt.Sprintf("UPDATE %[1]s SET %[2]s = %[2]s IS NOT TRUE;", t.SQL(), flag)
}
