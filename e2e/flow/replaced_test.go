package flow

import (
	"testing"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
)

// remake deletes a stream and makes it again, empty.
func remake(s *stack.Stack, name string) {
	s.TB.Helper()
	st, err := s.JS.Stream(s.TB.Context(), name)
	if err != nil {
		s.TB.Fatal(err)
	}
	if err := s.JS.DeleteStream(s.TB.Context(), name); err != nil {
		s.TB.Fatal(err)
	}
	// The server may still be removing the files of the one before.
	s.Until("stream "+name+" is made again", func() (bool, error) {
		_, err := s.JS.CreateStream(s.TB.Context(), st.CachedInfo().Config)
		return err == nil, err
	}, func() string { return "it is not" })
}

// TestOuterShapesStayExactWhenTheVerdictsAreRemade deletes the verdict streams
// and makes them again while everything runs, twice, with changes of the sets before,
// meanwhile and behind.
func TestOuterShapesStayExactWhenTheVerdictsAreRemade(t *testing.T) {
	s := stack.New(t, projectSchema)
	s.Consumer.Partitions = 2
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	shapes := []*client.Shape{
		s.Create(client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active)"}),
		s.Create(client.Definition{Table: "tasks", Where: "NOT done AND project_id NOT IN (SELECT id FROM projects WHERE owner = 1)"}),
	}
	s.Verify(shapes...)
	for range 2 {
		s.Exec("UPDATE projects SET active = NOT active WHERE id % 3 = 1")
		for p := range s.Consumer.Partitions {
			remake(s, s.Source.VerdictStream(p))
			s.Exec("UPDATE projects SET active = NOT active, owner = (owner + 1) % 3 WHERE id % 2 = $1", p)
		}
		s.Exec("INSERT INTO tasks SELECT 1 + max(id), 3, false, 'meanwhile' FROM tasks")
		s.Verify(shapes...)
		s.Exec("UPDATE projects SET active = NOT active")
		s.Verify(shapes...)
	}
}
