package flow

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
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
	return info.Applied
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
	t.Parallel()
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

// swallow takes what is written to a partition's stream away and answers
// nothing, as servers without a quorum do; back takes that back.
func swallow(s *stack.Stack, partition int) (back func()) {
	s.TB.Helper()
	st, err := s.JS.Stream(s.TB.Context(), s.Source.ShapeStream(partition))
	if err != nil {
		s.TB.Fatal(err)
	}
	cfg := st.CachedInfo().Config
	set := func(subjects []string, republish *jetstream.RePublish) {
		changed := cfg
		changed.Subjects, changed.RePublish = subjects, republish
		if _, err := s.JS.UpdateStream(s.TB.Context(), changed); err != nil {
			s.TB.Fatal(err)
		}
	}
	sub, err := s.NC.Subscribe(cfg.Subjects[0], func(*nats.Msg) {})
	if err != nil {
		s.TB.Fatal(err)
	}
	if err := s.NC.Flush(); err != nil {
		s.TB.Fatal(err)
	}
	set([]string{fmt.Sprintf("swallowed.%d.>", partition)}, nil)
	return func() {
		set(cfg.Subjects, cfg.RePublish)
		if err := sub.Unsubscribe(); err != nil {
			s.TB.Fatal(err)
		}
	}
}

// detach gives a partition's subjects to another stream, so that its own cannot
// be prepared and what is written is answered by somebody else.
func detach(s *stack.Stack, partition int) (attach func()) {
	s.TB.Helper()
	st, err := s.JS.Stream(s.TB.Context(), s.Source.ShapeStream(partition))
	if err != nil {
		s.TB.Fatal(err)
	}
	cfg := st.CachedInfo().Config
	changed := cfg
	changed.Subjects, changed.RePublish = []string{"detached." + string(s.Source) + ".>"}, nil
	if _, err := s.JS.UpdateStream(s.TB.Context(), changed); err != nil {
		s.TB.Fatal(err)
	}
	taken := jetstream.StreamConfig{Name: "TAKEN", Subjects: cfg.Subjects}
	if _, err := s.JS.CreateStream(s.TB.Context(), taken); err != nil {
		s.TB.Fatal(err)
	}
	return func() {
		if err := s.JS.DeleteStream(s.TB.Context(), taken.Name); err != nil {
			s.TB.Fatal(err)
		}
		if _, err := s.JS.UpdateStream(s.TB.Context(), cfg); err != nil {
			s.TB.Fatal(err)
		}
	}
}

// isDown waits until the control plane says whether a partition is down.
func isDown(s *stack.Stack, partition int, want bool) {
	s.TB.Helper()
	var status control.Status
	s.Until(fmt.Sprintf("partition %d is down: %t", partition, want), func() (bool, error) {
		var err error
		status, err = s.Client.Status(s.TB.Context())
		got := slices.ContainsFunc(status.Down, func(d control.PartitionDown) bool { return d.Partition == partition && d.Reason != "" })
		return got == want, err
	}, func() string { return fmt.Sprintf("%+v", status.Down) })
}

// TestAPartitionThatDoesNotAnswerStopsNoOther pins I8: nothing refuses, and
// nothing comes back, while more is written than may be in flight.
func TestAPartitionThatDoesNotAnswerStopsNoOther(t *testing.T) {
	t.Parallel()
	s := stack.New(t, taskSchema)
	s.Consumer.Partitions, s.Consumer.Stall, s.Consumer.WindowBytes = 2, 500*time.Millisecond, 64<<10
	s.StartIngest()
	s.StartConsumer()
	stuck, healthy := createIn(s, 0, "tasks", "project > 0"), createIn(s, 1, "tasks", "project > 0")
	s.Verify(stuck, healthy)
	back := swallow(s, 0)
	s.Exec("INSERT INTO tasks SELECT i, 1, repeat(md5(i::text), 10) FROM generate_series(1000, 5000) i")
	s.Verify(healthy)
	isDown(s, 0, true)
	s.Exec("DELETE FROM tasks WHERE id % 7 = 0")
	s.Verify(healthy)
	back()
	s.Verify(stuck, healthy)
	isDown(s, 0, false)
}

// TestAPartitionIsDownFromTheStart pins I8: a partition whose stream cannot be
// made, and one whose stream cannot be written when the consumer starts, do not keep the others from starting.
func TestAPartitionIsDownFromTheStart(t *testing.T) {
	s := stack.New(t, taskSchema)
	s.Consumer.Partitions = 2
	s.StartIngest()
	taken := jetstream.StreamConfig{Name: "TAKEN", Subjects: []string{"sb." + string(s.Source) + ".shape.0.>"}}
	if _, err := s.JS.CreateStream(t.Context(), taken); err != nil {
		t.Fatal(err)
	}
	stop := s.StartConsumer()
	isDown(s, 0, true)
	healthy := createIn(s, 1, "tasks", "project > 0")
	s.Exec("DELETE FROM tasks WHERE id % 7 = 0")
	s.Verify(healthy)
	if err := s.JS.DeleteStream(t.Context(), taken.Name); err != nil {
		t.Fatal(err)
	}
	isDown(s, 0, false)
	s.StartMaterializer()
	stuck := createIn(s, 0, "tasks", "project > 0")
	waits, outer := createOuterIn(s, 1, 0), createOuterIn(s, 0, 1)
	all := []*client.Shape{stuck, healthy, waits, outer}
	s.Verify(all...)

	stop()
	attach := detach(s, 0)
	s.Exec("UPDATE projects SET active = NOT active WHERE id % 2 = 0")
	s.StartConsumer()
	s.Verify(healthy)
	isDown(s, 0, true)
	s.Exec("UPDATE projects SET active = NOT active WHERE id % 5 = 0; DELETE FROM tasks WHERE id % 5 = 0")
	s.Verify(healthy)
	attach()
	s.Verify(all...)
}

// TestPartitionsComeAndGo pins I8, I4 and I6: whenever partitions are lost and
// come back, all shapes are exact in the end, under their handles.
func TestPartitionsComeAndGo(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	if env := os.Getenv("FLOW_SEED"); env != "" {
		var err error
		if seed, err = strconv.ParseUint(env, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("FLOW_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	const partitions = 3
	s := stack.New(t, taskSchema)
	s.Consumer.Partitions, s.Consumer.Stall, s.Consumer.WindowBytes = partitions, 300*time.Millisecond, 64<<10
	s.StartIngest()
	stop := s.StartConsumer()
	s.StartMaterializer()
	var all []*client.Shape
	for p := range partitions {
		all = append(all, createIn(s, p, "tasks", "project > 0"), createOuterIn(s, p, p), createOuterIn(s, p, (p+1)%partitions))
	}
	s.Verify(all...)
	var back [partitions]func()
	next := 1000
	for range 40 {
		p := random.IntN(partitions)
		switch random.IntN(12) {
		case 0, 1:
			if back[p] == nil {
				back[p] = fill(s, p)
			}
		case 2:
			if back[p] == nil {
				back[p] = swallow(s, p)
			}
		case 3, 4, 5:
			if back[p] != nil {
				back[p]()
				back[p] = nil
			}
		case 6:
			if random.IntN(3) == 0 {
				stop()
				stop = s.StartConsumer()
			}
		case 7:
			if lsn := mark(s); back[p] == nil { // let it come to rest
				s.Until("the partition has come to "+lsn.String(), func() (bool, error) { return applied(s, all[3*p]) >= lsn, nil }, func() string { return "" })
			}
		case 8:
			s.Exec("UPDATE tasks SET project = 1 + (project + $1) % 30 WHERE id % 7 = $2", random.IntN(30), random.IntN(7))
		case 9:
			s.Exec("DELETE FROM tasks WHERE id % 13 = $1", random.IntN(13))
		default:
			s.Exec("UPDATE projects SET active = NOT active WHERE id % 5 = $1", random.IntN(5))
		}
		n := 1 + random.IntN(300)
		s.Exec("INSERT INTO tasks SELECT i, 1 + i % 30, repeat(md5(i::text), 3) FROM generate_series($1::int, $2::int) i", next, next+n)
		next += n + 1
	}
	for p := range back {
		if back[p] != nil {
			back[p]()
		}
	}
	s.Verify(all...)
}
