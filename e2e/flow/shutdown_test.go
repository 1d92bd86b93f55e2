package flow

import (
	"fmt"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
)

// TestShutdownWhileAShapeIsDeleted stops the consumer at the moment at which
// it ends a shape that is still being created. It must leave all the same, and
// the next one must finish the work.
func TestShutdownWhileAShapeIsDeleted(t *testing.T) {
	s := stack.New(t, tasks)
	stopIngest := s.StartIngest()
	stop := s.StartConsumer()
	bystander := s.Create(client.Definition{Table: "tasks"})
	stopIngest() // creation waits for the change log from here on
	for i := range 5 {
		sh, err := s.Client.Create(t.Context(), client.Definition{Table: "tasks", Where: fmt.Sprintf("id > %d", i)})
		if err != nil {
			t.Fatal(err)
		}
		info := sh.Info()
		s.Until("the rows are stored", func() (bool, error) {
			st, err := s.JS.Stream(t.Context(), s.Source.ShapeStream(info.Partition))
			if err != nil {
				return false, err
			}
			_, err = st.GetLastMsgForSubject(t.Context(), s.Source.SegmentSubjects(info.Partition, info.Handle))
			return err == nil, err
		}, func() string { return "it is not" })
		if err := sh.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { stop(); close(done) }()
		select {
		case <-done:
		case <-time.After(stack.Timeout):
			t.Fatal("the consumer does not stop")
		}
		stop = s.StartConsumer()
	}
	s.StartIngest()
	s.Until("the deleted shapes are gone", func() (bool, error) {
		shapes, err := s.Client.List(t.Context())
		return len(shapes) == 1, err
	}, func() string { return "they are not" })
	s.Verify(bystander)
}
