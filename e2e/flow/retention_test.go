package flow

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// TestNothingStaysOfEndedShapesBehindTheirRetention ends shapes in each way, and waits for what is left of them to go: their
// last words, and the records of those that nobody has deleted.
func TestNothingStaysOfEndedShapesBehindTheirRetention(t *testing.T) {
	t.Parallel()
	s := stack.New(t, "CREATE TABLE kept (id int PRIMARY KEY); CREATE TABLE gone (id int PRIMARY KEY); INSERT INTO kept VALUES (1), (2), (3)")
	s.Consumer.Retention = time.Second
	s.StartIngest()
	s.StartConsumer()
	kept := s.Create(client.Definition{Table: "kept"})
	ended := s.Create(client.Definition{Table: "gone"})
	for i := range 5 {
		if err := s.Create(client.Definition{Table: "kept", Where: fmt.Sprintf("id = %d", i)}).Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.Exec("DROP TABLE gone")
	s.Await(ended, "ended", func(i control.Shape) bool { return i.State == control.StateEnded })

	want := s.Source.LogSubject(kept.Info().Partition, kept.Handle())
	logs := map[string]uint64{}
	s.Until("nothing is left but what is alive", func() (bool, error) {
		clear(logs)
		for p := range s.Consumer.Partitions {
			st, err := s.JS.Stream(t.Context(), s.Source.ShapeStream(p))
			if err != nil {
				return false, err
			}
			info, err := st.Info(t.Context(), jetstream.WithSubjectFilter(s.Source.LogSubjects(p)))
			if err != nil {
				return false, err
			}
			maps.Copy(logs, info.State.Subjects)
		}
		shapes, err := s.Client.List(t.Context())
		return err == nil && len(shapes) == 1 && len(logs) == 1 && logs[want] > 0, err
	}, func() string { return fmt.Sprintf("logs %q", slices.Sorted(maps.Keys(logs))) })
	s.Exec("INSERT INTO kept VALUES (4)")
	s.Verify(kept)
}
