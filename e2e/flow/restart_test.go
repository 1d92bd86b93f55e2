package flow

import (
	"math/rand/v2"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
)

// TestRestartsUnderTraffic stops and starts the services again and again while
// writers run and shapes come into being, ingest with another fragment size
// each time. Killing is e2e/crash's business; this covers the orderly way.
func TestRestartsUnderTraffic(t *testing.T) {
	t.Parallel()
	s := stack.New(t, tasks)
	s.Ingest.FragmentOps = 3
	stopIngest, stopConsumer := s.StartIngest(), s.StartConsumer()
	shapes := []*client.Shape{
		s.Create(client.Definition{Table: "tasks"}),
		s.Create(client.Definition{Table: "tasks", Where: "owner = 2"}),
	}
	stop := writers(s, 2, "")
	for i := range 6 {
		if i%2 == 0 {
			stopIngest()
			s.Ingest.FragmentOps = 1 + rand.IntN(5)
			stopIngest = s.StartIngest()
		} else {
			stopConsumer()
			stopConsumer = s.StartConsumer()
		}
		sh, err := s.Client.Create(t.Context(), client.Definition{Table: "tasks", Where: "id > $1", Params: []any{string(rune('1' + i))}})
		if err != nil {
			t.Fatal(err)
		}
		shapes = append(shapes, sh)
	}
	stop()
	for _, sh := range shapes {
		before := sh.Handle()
		if after := s.Await(sh, "live", func(i control.Shape) bool { return i.State == control.StateLive }); after.Handle != before {
			t.Errorf("handle %s became %s", before, after.Handle)
		}
	}
	s.Verify(shapes...)
}

// TestStandbyTakesOver runs two consumers: one writes, both answer, and when
// the writer goes the other one carries on.
func TestStandbyTakesOver(t *testing.T) {
	s := stack.New(t, tasks)
	s.StartIngest()
	stopFirst := s.StartConsumer()
	sh := s.Create(client.Definition{Table: "tasks"})
	s.StartConsumer()
	s.Exec("UPDATE tasks SET title = 'first'")
	s.Verify(sh)
	stopFirst()
	s.Exec("UPDATE tasks SET title = 'second'")
	s.Verify(sh)
	s.Verify(s.Create(client.Definition{Table: "tasks", Where: "id < 10"}))
}

// TestChangeLogIsTrimmed removes what every shape has passed, and no more.
func TestChangeLogIsTrimmed(t *testing.T) {
	s := stack.New(t, tasks)
	s.Ingest.FragmentOps = 1
	s.StartIngest()
	stop := s.StartConsumer()
	sh := s.Create(client.Definition{Table: "tasks"})
	s.Exec("INSERT INTO tasks SELECT i FROM generate_series(1000, 1999) i")
	s.Verify(sh)
	second := s.Create(client.Definition{Table: "tasks", Where: "id < 10"}) // asks what is visible, which lets the floor rise
	s.Exec("UPDATE tasks SET owner = 7 WHERE id < 10")
	s.Verify(sh, second)
	s.Until("the change log is trimmed", func() (bool, error) {
		st, err := s.JS.Stream(t.Context(), s.Source.ChangeStream())
		return err == nil && st.CachedInfo().State.FirstSeq > 1000, err
	}, func() string { return "it is not" })
	stop()
	s.Exec("UPDATE tasks SET owner = 8 WHERE id < 10")
	s.StartConsumer()
	s.Verify(sh, second)
}

// TestDiscardedChangesEndTheShapesThatMissThem fills a small change log while
// the consumer is away. Postgres is protected; the shapes say that they have a gap.
func TestDiscardedChangesEndTheShapesThatMissThem(t *testing.T) {
	s := stack.New(t, tasks)
	s.Ingest.ChangeLog = topology.ChangeLogConfig{MaxBytes: 1 << 20}
	s.Ingest.FragmentBytes = 16 << 10
	s.StartIngest()
	stop := s.StartConsumer()
	sh := s.Create(client.Definition{Table: "tasks"})
	stop()
	s.Exec("INSERT INTO tasks SELECT i, 1, repeat('x', 200) FROM generate_series(1000, 20000) i")
	s.Until("the change log has discarded", func() (bool, error) {
		st, err := s.JS.Stream(t.Context(), s.Source.ChangeStream())
		// The first 516 messages are the empty ones of the writer's fence.
		return err == nil && st.CachedInfo().State.FirstSeq > 600, err
	}, func() string { return "it has not" })
	s.StartConsumer()
	info := s.Await(sh, "ended", func(i control.Shape) bool { return i.State == control.StateEnded })
	if info.Reason == "" {
		t.Error("no reason")
	}
	s.Verify(s.Create(client.Definition{Table: "tasks"}))
}

// TestSegmentsAndLogsGoWithTheirShape leaves nothing of a deleted shape but its last word.
func TestSegmentsAndLogsGoWithTheirShape(t *testing.T) {
	s := stack.Start(t, tasks)
	sh := s.Create(client.Definition{Table: "tasks"})
	if err := sh.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	st, err := s.JS.Stream(t.Context(), s.Source.ShapeStream(sh.Info().Partition))
	if err != nil {
		t.Fatal(err)
	}
	s.Until("only the last word is left", func() (bool, error) {
		info, err := st.Info(t.Context(), jetstream.WithSubjectFilter("sb."+string(s.Source)+".shape.*."+sh.Handle()+".>"))
		if err != nil {
			return false, err
		}
		var n uint64
		for _, c := range info.State.Subjects {
			n += c
		}
		return n == 1, nil
	}, func() string { return "more is left" })
}
