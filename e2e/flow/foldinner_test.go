package flow

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// TestShapesAreFoldedWhileOthersSelectFromThem folds the logs of a whole chain all the time, while all of it changes and the materializer
// begins again and again: what it needs of them to do so is there.
func TestShapesAreFoldedWhileOthersSelectFromThem(t *testing.T) {
	s := stack.New(t, nestedSchema)
	foldOften(s)
	s.Materializer.BaseLeast = 1
	s.StartIngest()
	s.StartConsumer()
	stop := s.StartMaterializer()
	inner := []*client.Shape{
		s.Create(client.Definition{Table: "projects", Columns: []string{"id"}, Where: "active"}),
		s.Create(client.Definition{Table: "tasks", Columns: []string{"id"}, Where: ofProjects}),
	}
	outer := s.Create(client.Definition{Table: "comments", Where: ofTasks})
	if in := outer.Info().Subqueries; len(in) != 1 || in[0] != inner[1].Handle() {
		t.Fatalf("it selects from %v, not from %s", in, inner[1].Handle())
	}
	shapes := []*client.Shape{inner[0], inner[1], outer}
	stopWriting := changing(s, 2, pace)
	stopReading := readers(s, outer, 1)
	for range 3 {
		for _, sh := range shapes {
			awaitFolds(s, sh, 1)
		}
		stop()
		stop = s.StartMaterializer()
	}
	for _, sh := range inner {
		s.Until("what a fold replaced is gone", func() (bool, error) { return !beginsWithRows(s, sh), nil }, func() string { return "it is there" })
	}
	stopWriting()
	stopReading()
	for i, st := range s.Verify(shapes...) {
		t.Logf("shape %d: generation %d, %d messages left", i, st.Generation.Number, st.Messages)
	}
}

// TestAFoldGivesRoomBackThoughNothingElseIsSelected folds the log of a shape from which others select, in which much has changed and nothing of
// what they select. Its materializer has written no copy of the set for long, and would not for as long again.
func TestAFoldGivesRoomBackThoughNothingElseIsSelected(t *testing.T) {
	for name, began := range map[string]bool{"with a materializer that follows": true, "with one that begins later": false} {
		t.Run(name, func(t *testing.T) {
			s := stack.New(t, nestedSchema)
			s.Consumer.FoldFactor, s.Consumer.FoldEvery, s.Consumer.FoldGrace = -1, 20*time.Millisecond, time.Millisecond
			s.StartIngest()
			s.StartConsumer()
			stop := s.StartMaterializer()
			inner := s.Create(client.Definition{Table: "tasks", Columns: []string{"id", "project_id"}, Where: "project_id < 1000"})
			outer := s.Create(client.Definition{Table: "comments", Where: "task_id IN (SELECT project_id FROM tasks WHERE project_id < 1000)"})
			if in := outer.Info().Subqueries; len(in) != 1 || in[0] != inner.Handle() {
				t.Fatalf("it selects from %v, not from %s", in, inner.Handle())
			}
			for range 3 { // other rows with the same values
				s.Exec("CREATE TEMP TABLE was AS SELECT id, project_id FROM tasks; DELETE FROM tasks; INSERT INTO tasks (id, project_id) SELECT id + 1000, project_id FROM was; DROP TABLE was")
			}
			s.Verify(inner, outer)
			for n := range 2 {
				if !began {
					stop()
				}
				if _, err := s.Client.Fold(t.Context(), inner.Handle()); err != nil {
					t.Fatal(err)
				}
				s.Await(inner, "it is folded", func(i control.Shape) bool { return i.Generation == uint64(n+1) && i.Fold == nil })
				if !began {
					stop = s.StartMaterializer()
				}
				s.Until("what the fold replaced is gone", func() (bool, error) { return oneSegment(s, inner) && !beginsWithRows(s, inner), nil }, func() string { return "it is there" })
			}
			s.Exec("UPDATE tasks SET project_id = 1 + id % 7")
			s.Verify(inner, outer)
		})
	}
}

// oneSegment reports whether of a shape's segments one is left.
func oneSegment(s *stack.Stack, sh *client.Shape) bool {
	s.TB.Helper()
	st, err := s.JS.Stream(s.TB.Context(), s.Source.ShapeStream(sh.Info().Partition))
	if err != nil {
		s.TB.Fatal(err)
	}
	i, err := st.Info(s.TB.Context(), jetstream.WithSubjectFilter(s.Source.SegmentSubjects(sh.Info().Partition, sh.Handle())))
	if err != nil {
		s.TB.Fatal(err)
	}
	return len(i.State.Subjects) == 1
}

// TestShapesAreMadeThatSelectFromOneThatIsFolded makes shapes that select from one and deletes them, again and again, while the log of the former is folded and
// what a fold replaces is removed at once: whenever a set is built, there is all that it needs.
func TestShapesAreMadeThatSelectFromOneThatIsFolded(t *testing.T) {
	t.Parallel()
	s := stack.New(t, nestedSchema)
	foldOften(s)
	s.Consumer.InnerGrace = time.Hour
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	inner := s.Create(client.Definition{Table: "tasks", Columns: []string{"id"}, Where: ofProjects})
	stopWriting := changing(s, 1, pace)
	stopReading := readers(s, inner, 1)
	from := generationOf(s, inner)
	for n := 0; n < 6 || generationOf(s, inner) < from+3; n++ {
		outer := s.Create(client.Definition{Table: "comments", Where: fmt.Sprintf("id <> %d AND %s", n, ofTasks)})
		if in := outer.Info().Subqueries; len(in) != 1 || in[0] != inner.Handle() {
			t.Fatalf("it selects from %v, not from %s", in, inner.Handle())
		}
		s.Await(outer, "live", func(i control.Shape) bool { return i.State == control.StateLive })
		if n%3 == 0 {
			stopWriting()
			s.Verify(inner, outer)
			stopWriting = changing(s, 1, pace)
		}
		if err := outer.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	stopWriting()
	stopReading()
	s.Verify(inner)
	t.Logf("generation %d after %d", generationOf(s, inner), from)
}
