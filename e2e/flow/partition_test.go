package flow

import (
	"fmt"
	"testing"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/pg"
	"github.com/shapebus/shapebus/pkg/topology"
)

const taskSchema = `
	CREATE TABLE projects (id int PRIMARY KEY, active bool NOT NULL);
	CREATE TABLE tasks (id int PRIMARY KEY, project int NOT NULL, title text);
	INSERT INTO projects SELECT i, i % 3 = 0 FROM generate_series(1, 30) i;
	INSERT INTO tasks SELECT i, 1 + i % 30, 'task ' || i FROM generate_series(1, 300) i`

// createIn makes a shape of a table in a partition: clauses that hold for every
// row are tried until one's definition falls there.
func createIn(s *stack.Stack, partition int, table, where string) *client.Shape {
	s.TB.Helper()
	for i := range 50 {
		def := client.Definition{Table: table, Where: fmt.Sprintf("%s AND id > %d", where, -i)}
		sh, err := s.Client.Create(s.TB.Context(), def)
		if err != nil {
			s.TB.Fatal(err)
		}
		if sh.Info().Partition == partition {
			return s.Create(def)
		}
	}
	s.TB.Fatalf("no definition falls into partition %d", partition)
	return nil
}

// createOuterIn makes a shape of tasks in a partition with an inner shape in another.
func createOuterIn(s *stack.Stack, partition, inner int) *client.Shape {
	s.TB.Helper()
	for i := range 50 {
		where := fmt.Sprintf("project IN (SELECT id FROM projects WHERE active AND id > %d)", -i)
		sh := s.Create(client.Definition{Table: "tasks", Where: where})
		in, err := s.Client.Open(s.TB.Context(), sh.Info().Subqueries[0])
		if err != nil {
			s.TB.Fatal(err)
		}
		if in.Info().Partition == inner {
			return createIn(s, partition, "tasks", where)
		}
	}
	s.TB.Fatalf("no inner shape falls into partition %d", inner)
	return nil
}

// fill lets a partition's stream take nothing more; room takes that back.
func fill(s *stack.Stack, partition int) (room func()) {
	s.TB.Helper()
	set := func(limit func(bytes uint64) int64) {
		st, err := s.JS.Stream(s.TB.Context(), s.Source.ShapeStream(partition))
		if err != nil {
			s.TB.Fatal(err)
		}
		cfg := st.CachedInfo().Config
		cfg.MaxBytes = limit(st.CachedInfo().State.Bytes)
		if _, err := s.JS.UpdateStream(s.TB.Context(), cfg); err != nil {
			s.TB.Fatal(err)
		}
	}
	set(func(bytes uint64) int64 { return int64(bytes) })
	return func() { set(func(uint64) int64 { return -1 }) }
}

// mark writes a barrier and returns its place.
func mark(s *stack.Stack) change.LSN {
	s.TB.Helper()
	lsn, err := pg.EmitBarrier(s.TB.Context(), s.DB, topology.BarrierPrefix, "mark")
	if err != nil {
		s.TB.Fatal(err)
	}
	return lsn
}

// applied is up to where a shape has seen the change log.
func applied(s *stack.Stack, sh *client.Shape) change.LSN {
	s.TB.Helper()
	info, err := sh.Refresh(s.TB.Context())
	if err != nil {
		s.TB.Fatal(err)
	}
	lsn, err := change.ParseLSN(info.Applied)
	if err != nil {
		s.TB.Fatal(err)
	}
	return lsn
}


// TestAPartitionThatIsFullStopsNoOther pins I8: while one partition's stream
// takes nothing, shapes of the others follow, are created and stay exact; and those
// that waited go on under their handles once there is room.
func TestAPartitionThatIsFullStopsNoOther(t *testing.T) {
	s := stack.New(t, taskSchema)
	s.Consumer.Partitions = 2
	s.StartIngest()
	s.StartConsumer()
	stuck, healthy := createIn(s, 0, "tasks", "project > 0"), createIn(s, 1, "tasks", "project > 0")
	s.Verify(stuck, healthy)
	room := fill(s, 0)

	s.Exec("INSERT INTO tasks SELECT i, 1, repeat(md5(i::text), 10) FROM generate_series(1000, 3000) i")
	s.Exec("DELETE FROM tasks WHERE id % 7 = 0")
	behind := mark(s)
	s.Verify(healthy)
	s.Verify(createIn(s, 1, "projects", "active"))
	for i := range 3 {
		s.Exec("UPDATE tasks SET title = 'round ' || $1::text WHERE id % 5 = 0", fmt.Sprint(i))
		s.Verify(healthy)
	}
	if at := applied(s, stuck); at >= behind {
		t.Fatalf("the shape in the full partition has applied %s, so it is not full", at)
	}

	room()
	s.Verify(stuck, healthy)
	if got := stuck.Info().Handle; got != stuck.Handle() {
		t.Errorf("the handle is %s, was %s", got, stuck.Handle())
	}
	s.Exec("UPDATE tasks SET title = 'again' WHERE id % 3 = 0")
	s.Verify(stuck, healthy)
}

// TestOuterShapesWaitForAPartitionThatIsFull pins I8 and I4 for shapes whose
// inner shape, or who themselves, are in a partition that cannot be written.
func TestOuterShapesWaitForAPartitionThatIsFull(t *testing.T) {
	s := stack.New(t, taskSchema)
	s.Consumer.Partitions = 2
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	plain := createIn(s, 1, "tasks", "project > 0")
	waits := createOuterIn(s, 1, 0)   // its inner shape will be stuck
	stuck := createOuterIn(s, 0, 1)   // it will be stuck itself
	inside := createOuterIn(s, 0, 0)  // both
	healthy := createOuterIn(s, 1, 1) // neither
	all := []*client.Shape{plain, waits, stuck, inside, healthy}
	s.Verify(all...)
	room := fill(s, 0)

	s.Exec("UPDATE projects SET active = NOT active WHERE id % 2 = 0")
	revoked := mark(s)
	s.Exec("INSERT INTO tasks SELECT i, 1 + i % 30, 'new' FROM generate_series(1000, 1300) i")
	s.Verify(plain, healthy)
	for _, sh := range []*client.Shape{waits, stuck, inside} {
		if at := applied(s, sh); at >= revoked {
			t.Errorf("shape %s in partition %d has applied %s, before its inner shape could be written", sh.Handle(), sh.Info().Partition, at)
		}
	}
	s.Exec("UPDATE projects SET active = NOT active WHERE id % 5 = 0")
	s.Exec("DELETE FROM tasks WHERE id % 11 = 0")
	s.Verify(plain, healthy)

	room()
	s.Verify(all...)
	s.Exec("UPDATE projects SET active = NOT active WHERE id % 3 = 0")
	s.Verify(all...)
	for _, sh := range all {
		s.Await(sh, "under its handle", func(i control.Shape) bool { return i.Handle == sh.Handle() })
	}
}
