package prepare_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/dbtest"
	"github.com/shapebus/shapebus/internal/pg/prepare"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

const nobodyHasALock = "SELECT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"

// freeze shows that a session has a limit of silence, makes it a short one, and is silent until nobody has a lock.
func freeze(t *testing.T, conn, admin *pgx.Conn, limit, is string) {
	t.Helper()
	if got := setting(t, conn, limit); got != is {
		t.Errorf("%s is %s", limit, got)
	}
	if _, err := conn.Exec(t.Context(), "SET "+limit+" = '100ms'"); err != nil {
		t.Fatal(err)
	}
	dbtest.Eventually(t, admin, "Postgres ends the session", nobodyHasALock)
}

func setting(t *testing.T, conn *pgx.Conn, name string) (value string) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), "SELECT current_setting($1)", name).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// TestTheLocksOfAProcessThatIsFrozenDoNotLast: Postgres ends the session of one that prepares a table, gives it back
// or has a slot made, and is silent; what it was about to do is undone.
func TestTheLocksOfAProcessThatIsFrozenDoNotLast(t *testing.T) {
	url := pgtest.Database(t)
	admin := dbtest.Dial(t, url)
	dbtest.Script(t, admin, "CREATE TABLE t (id int PRIMARY KEY, v int)")
	if err := prepare.EnsurePublication(t.Context(), admin, "p"); err != nil {
		t.Fatal(err)
	}
	const session, transaction = "idle_session_timeout", "idle_in_transaction_session_timeout"
	info := dbtest.Lookup(t, admin, "public", "t", "p")

	conn := dbtest.Dial(t, url)
	err := prepare.Preparing(t.Context(), conn, info, time.Second, func() error {
		freeze(t, conn, admin, session, "1min")
		_, err := prepare.EnsureTable(t.Context(), conn, "p", info, 0)
		return err
	})
	if err == nil || pg.Permanent(err) || !conn.IsClosed() {
		t.Errorf("who prepares a table: %v", err)
	}
	conn = dbtest.Dial(t, url)
	if err := prepare.WithoutPreparing(t.Context(), conn, func() error { freeze(t, conn, admin, session, "1min"); return nil }); err != nil || !conn.IsClosed() {
		t.Errorf("who makes a slot: %v", err)
	}
	conn = dbtest.Dial(t, url)
	prior := prepareTable(t, conn, nil)
	if got := setting(t, conn, session); got != "0" {
		t.Errorf("after a table was prepared the session ends when it is idle for %s", got)
	}
	before := identities(t, admin)
	_, err = prepare.GiveBack(t.Context(), conn, "p", prior, 0, func(context.Context) error { freeze(t, conn, admin, transaction, "15s"); return nil }) //nolint:contextcheck // the test's is as good
	if err == nil || pg.Permanent(err) {
		t.Errorf("who gives a table back: %v", err)
	}
	if now := identities(t, admin); now != before {
		t.Errorf("it was %s and is %s", before, now)
	}
}

// TestALostHostIsNoticed: Postgres asks a silent connection after a minute whether its host is there.
func TestALostHostIsNoticed(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	if over := conn.PgConn().Conn().RemoteAddr().Network(); over != "tcp" {
		t.Fatalf("connected over %s, where there are no keepalives", over)
	}
	for name, want := range map[string]string{"tcp_keepalives_idle": "60", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "3"} {
		if got := setting(t, conn, name); got != want { // what the socket has, not what was asked for
			t.Errorf("%s is %s, not %s", name, got, want)
		}
	}
}

// TestATableIsLockedWithALimitOfSilence: the transaction that prepares a table ends with its session when the process is frozen in it.
func TestATableIsLockedWithALimitOfSilence(t *testing.T) {
	conn := dbtest.Dial(t, pgtest.Database(t))
	dbtest.Script(t, conn, `CREATE TABLE t (id int PRIMARY KEY, v int); CREATE TABLE seen (what text, silence text);
		CREATE FUNCTION look() RETURNS event_trigger LANGUAGE plpgsql AS
			$$ BEGIN INSERT INTO public.seen VALUES (tg_tag, current_setting('idle_in_transaction_session_timeout')); END $$`)
	if err := prepare.EnsurePublication(t.Context(), conn, "p"); err != nil {
		t.Fatal(err)
	}
	dbtest.Script(t, conn, "CREATE EVENT TRIGGER look ON ddl_command_end EXECUTE FUNCTION look()")
	prepareTable(t, conn, nil)
	var seen string
	if err := conn.QueryRow(t.Context(), "SELECT string_agg(what || ' ' || silence, ', ' ORDER BY what) FROM seen").Scan(&seen); err != nil {
		t.Fatal(err)
	}
	if want := "ALTER PUBLICATION 15s, ALTER TABLE 15s"; seen != want {
		t.Errorf("%s, not %s", seen, want)
	}
	if now := setting(t, conn, "idle_in_transaction_session_timeout"); now != "0" {
		t.Errorf("after it the limit is %s", now)
	}
}
