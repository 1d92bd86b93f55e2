package flow

import (
	"testing"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
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
	stopWriting := changing(s, 2)
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
