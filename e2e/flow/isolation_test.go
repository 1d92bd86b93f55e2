package flow

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/pg/slots"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/shape"
)

// TestAStuckShapeDelaysNobody pins I8: while the snapshot of one shape waits for
// a lock, another shape follows its table, a new one is created, and the slot moves on.
func TestAStuckShapeDelaysNobody(t *testing.T) {
	s := stack.Start(t, `CREATE TABLE slow (id int PRIMARY KEY); CREATE TABLE fast (id int PRIMARY KEY)`)
	slow := s.Create(client.Definition{Table: "slow"})
	fast := s.Create(client.Definition{Table: "fast"})

	blocker := s.Connect()
	if _, err := blocker.Exec(t.Context(), "BEGIN; LOCK TABLE slow IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	// The control plane would wait for the lock too, so the record of a second
	// shape on the table is stored past it.
	shapes, err := registry.OpenShapes(t.Context(), s.JS, s.Source)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := shapes.Get(t.Context(), slow.Info().ID)
	if err != nil {
		t.Fatal(err)
	}
	rec.Fresh()
	rec.ID = "00000000000000aa"
	rec.Handle, rec.State, rec.Definition.Where = shape.NewHandle(rec.ID, time.Now()), control.StateCreating, "id > 0"
	if err := shapes.Put(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	s.Until("the snapshot waits for the lock", func() (bool, error) {
		var n int
		err := s.DB.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE relation = 'slow'::regclass AND NOT granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`).Scan(&n)
		return n > 0, err
	}, func() string { return "nobody waits" })

	for i := range 5 {
		s.Exec("INSERT INTO fast SELECT i FROM generate_series($1::int, $2::int) i", i*100, i*100+99)
		s.Verify(fast)
	}
	s.Verify(s.Create(client.Definition{Table: "fast", Where: "id < 250"}))
	var written string
	if err := s.DB.QueryRow(t.Context(), "SELECT pg_current_wal_lsn()").Scan(&written); err != nil {
		t.Fatal(err)
	}
	target, err := change.ParseLSN(written)
	if err != nil {
		t.Fatal(err)
	}
	var slot slots.Info
	s.Until("the slot is past "+written, func() (bool, error) {
		var err error
		slot, err = slots.Lookup(t.Context(), s.DB, s.Source.Slot())
		return slot.ConfirmedFlush >= target, err
	}, func() string { return slot.ConfirmedFlush.String() })

	if _, err := blocker.Exec(t.Context(), "INSERT INTO slow VALUES (1), (-1); COMMIT"); err != nil {
		t.Fatal(err)
	}
	stuck, err := s.Client.Open(t.Context(), rec.Handle)
	if err != nil {
		t.Fatal(err)
	}
	s.Await(stuck, "live", func(i control.Shape) bool { return i.State == control.StateLive })
	s.Verify(slow, fast, stuck)
}

// TestVerdictsThatCannotBeReadDelayNobodyElse: the streams of verdicts cannot be made, so shapes
// with subqueries wait, and only they.
func TestVerdictsThatCannotBeReadDelayNobodyElse(t *testing.T) {
	s := stack.New(t, projectSchema)
	foreign, err := s.JS.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "FOREIGN", Subjects: []string{"sb." + string(s.Source) + ".verdict.>"}, Storage: jetstream.MemoryStorage,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	plain := s.Create(client.Definition{Table: "tasks", Where: "done"})
	outer, err := s.Client.Create(t.Context(), client.Definition{Table: "tasks", Where: activeTasks})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		s.Exec("UPDATE tasks SET done = NOT done WHERE id % 5 = $1", i)
		s.Verify(plain)
	}
	s.Verify(s.Create(client.Definition{Table: "tasks", Where: "NOT done"}))
	if info, err := outer.Refresh(t.Context()); err != nil || info.State != control.StateCreating {
		t.Fatalf("the outer shape is %s without verdicts: %v", info.State, err)
	}
	if err := s.JS.DeleteStream(t.Context(), foreign.CachedInfo().Config.Name); err != nil {
		t.Fatal(err)
	}
	s.Await(outer, "live", func(i control.Shape) bool { return i.State == control.StateLive })
	s.Exec("UPDATE projects SET active = NOT active WHERE id < 5")
	s.Verify(plain, outer)
}
