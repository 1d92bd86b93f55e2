package flow

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

// TestATableIsPreparedOnlyOnceTheSlotIsThere asks for a shape while Postgres makes the replication slot, on a database that is
// never without an open transaction. Postgres first waits for the transactions that are open, without looking at what commits
// meanwhile, and then for those that are open then; a transaction that writes in this second phase is decoded with the catalog as
// it was before the first. It must not be a table's preparation that is missing there: changes of the table would be left out of
// the stream, or told without the old row.
func TestATableIsPreparedOnlyOnceTheSlotIsThere(t *testing.T) {
	server := pgtest.Own(t, nil) // a slot waits for the transactions of all databases
	if err := server.CreateDatabase(t.Context(), "slot"); err != nil {
		t.Fatal(err)
	}
	s := stack.On(t, server.URL("slot"), tasks+"CREATE TABLE other (id int); CREATE TABLE later (id int PRIMARY KEY);")
	s.Consumer.LockTimeout = stack.Timeout
	is := func(what, sql string, args ...any) {
		t.Helper()
		s.Until(what, func() (yes bool, err error) {
			err = s.DB.QueryRow(t.Context(), sql, args...).Scan(&yes)
			return yes, err
		}, func() string { return "it is not so" })
	}
	writer := func() *pgx.Conn {
		conn := s.Connect()
		if _, err := conn.PgConn().Exec(t.Context(), "BEGIN; INSERT INTO other VALUES (1)").ReadAll(); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	run := func(conn *pgx.Conn, sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	slotWaits := func(conn *pgx.Conn) {
		t.Helper()
		is("the slot waits for a writer", `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%pg_create_logical_replication_slot%' AND $1 = ANY (pg_blocking_pids(pid)))`, conn.PgConn().PID())
	}

	first := writer()
	ready := s.BeginIngest()
	slotWaits(first)
	s.StartConsumer()
	second := writer()
	type answer struct {
		shape *client.Shape
		err   error
	}
	asked := make(chan answer, 1)
	go func() {
		sh, err := s.Client.Create(t.Context(), client.Definition{Table: "tasks"})
		asked <- answer{sh, err}
	}()
	is("the table is prepared, or waits for that", `SELECT EXISTS (SELECT FROM pg_publication_tables WHERE tablename = 'tasks') OR EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)`)
	run(first, "COMMIT")
	slotWaits(second) // the second phase
	third := writer()
	run(second, "COMMIT")
	ready()
	got := <-asked
	if got.err != nil {
		t.Fatal(got.err)
	}
	s.Await(got.shape, "live", func(i control.Shape) bool { return i.State == control.StateLive })

	run(third, "UPDATE tasks SET title = 'by the one that wrote while the slot was made' WHERE id = 1")
	s.Exec("UPDATE tasks SET title = 'by another' WHERE id = 2")
	run(third, "COMMIT")
	s.Verify(got.shape)
	later := s.Create(client.Definition{Table: "later"}) // the publication has changed, and Postgres looks at it again
	for i := range 3 {
		s.Exec(fmt.Sprintf("UPDATE tasks SET title = 'later %d' WHERE id = 3", i))
	}
	s.Verify(got.shape, later)
}
