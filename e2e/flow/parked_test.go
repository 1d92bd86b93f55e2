package flow

import (
	"fmt"
	"testing"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/natsembed"
	"github.com/shapebus/shapebus/pkg/topology"
)

// TestMoreParkedShapesThanACheckpointMessageHolds restarts the consumer, softly, while so many
// shapes with a subquery are in one unit that the checkpoint takes several messages.
func TestMoreParkedShapesThanACheckpointMessageHolds(t *testing.T) {
	const (
		maxPayload = 4 << 10
		many       = 150 // each takes 16 bytes, and headers leave 2 KiB
	)
	s := stack.New(t, projectSchema)
	server, err := natsembed.Start(natsembed.Options{Dir: t.TempDir(), MaxPayload: maxPayload})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	s.NATS = server
	s.Dial()
	s.Consumer.Partitions = 1
	s.StartIngest()
	stop := s.StartConsumer()
	s.StartMaterializer()
	var shapes []*client.Shape
	for i := range many {
		sh, err := s.Client.Create(t.Context(), client.Definition{
			Table: "tasks", Columns: []string{"id"}, Where: fmt.Sprintf("id > %d AND project_id IN (SELECT id FROM projects WHERE active)", i),
		})
		if err != nil {
			t.Fatal(err)
		}
		shapes = append(shapes, sh)
	}
	s.Verify(shapes...)

	// parked waits for a checkpoint that names them all.
	parked := func() {
		named := 0
		s.Until("a checkpoint names all shapes", func() (bool, error) {
			c, _, err := registry.ReadCheckpoint(t.Context(), s.JS, s.Source, 0, "")
			named = 0
			for _, at := range c.Parked {
				named += len(at.Handles)
			}
			return named == many, err
		}, func() string { return fmt.Sprintf("it names %d", named) })
	}
	lock := s.Connect()
	for _, sql := range []string{"BEGIN", "LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE"} { // so that the unit does not end
		if _, err := lock.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	s.Exec("UPDATE projects SET active = NOT active WHERE id < 6")
	parked()
	st, err := s.JS.Stream(t.Context(), s.Source.ShapeStream(0))
	if err != nil {
		t.Fatal(err)
	}
	m, err := st.GetLastMsgForSubject(t.Context(), s.Source.CheckpointSubject(0))
	if err != nil || m.Header.Get(topology.HeaderPart) == "" {
		t.Fatalf("the checkpoint is not in parts: %v", err)
	}
	stop()
	parked()
	stop = s.StartConsumer()
	s.Exec("UPDATE projects SET active = NOT active WHERE id > 6")
	parked()
	stop()
	s.StartConsumer()
	if _, err := lock.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	for i, st := range s.Verify(shapes...) {
		if st.Ended != "" {
			t.Errorf("shape %d ended: %s", i, st.Ended)
		}
	}
}
