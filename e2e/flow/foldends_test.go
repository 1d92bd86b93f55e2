package flow

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// TestLogsAreFoldedWhilePartitionsMove lets consumers come, leave and die while they fold.
func TestLogsAreFoldedWhilePartitionsMove(t *testing.T) {
	s := stack.New(t, tasks)
	foldOften(s)
	s.Consumer.Partitions = 4
	s.StartIngest()
	member := func(name string) *stack.Member {
		s.Consumer.Name = name
		return s.StartMember()
	}
	a := member("a")
	s.StartMaterializer()
	var shapes []*client.Shape
	for i := range 3 {
		shapes = append(shapes, s.Create(client.Definition{Table: "tasks", Where: fmt.Sprintf("owner <> %d", i)}))
	}
	stopWriting := writers(s, 2, "")
	stopReading := readers(s, shapes[0], 1)
	folded := func() {
		t.Helper()
		for _, sh := range shapes {
			awaitFolds(s, sh, 1)
		}
	}
	folded()
	b := member("b")
	folded()
	a.Stop()
	folded()
	c := member("c")
	folded()
	b.Crash()
	folded()
	stopWriting()
	stopReading()
	s.Verify(shapes...)
	if trouble := c.Trouble(); trouble != "" {
		t.Logf("the last trouble of the consumer that is left: %s", trouble)
	}
}

// TestAShapeThatEndsWhileItsLogIsFoldedLeavesNothing deletes a shape at each step of a fold.
func TestAShapeThatEndsWhileItsLogIsFoldedLeavesNothing(t *testing.T) {
	for _, at := range []failpoint.Point{failpoint.FoldBegun, failpoint.FoldRow, failpoint.FoldCopied, failpoint.FoldStored} {
		t.Run(at.String(), func(t *testing.T) {
			s := stack.New(t, tasks)
			s.Consumer.SnapshotBytes = 500 // so that the rows are several messages
			s.Consumer.FoldEvery = 20 * time.Millisecond
			reached, release := make(chan struct{}), make(chan struct{})
			var once sync.Once
			s.Consumer.Failpoint = func(p failpoint.Point) {
				if p == at {
					once.Do(func() { close(reached); <-release })
				}
			}
			s.StartIngest()
			s.StartConsumer()
			sh := s.Create(client.Definition{Table: "tasks"})
			s.Exec("UPDATE tasks SET title = 'other' WHERE id < 10")
			s.Verify(sh)
			info := sh.Info()
			if _, err := s.Client.Fold(t.Context(), info.Handle); err != nil {
				t.Fatal(err)
			}
			<-reached
			if err := sh.Delete(t.Context()); err != nil {
				t.Fatal(err)
			}
			close(release)
			s.Until("nothing but the last word is left", func() (bool, error) { return len(subjectsLeft(s, info)) == 1, nil }, func() string { return fmt.Sprint(subjectsLeft(s, info)) })
		})
	}
}

// TestAFoldStopsWhenItsShapeEnds deletes a shape while its rows are read: no more of them are written. Should the consumer die before it
// has removed those that it had written behind the shape's end, they go with the shape's last word.
func TestAFoldStopsWhenItsShapeEnds(t *testing.T) {
	for name, dies := range map[string]bool{"the consumer goes on": false, "the consumer dies": true} {
		t.Run(name, func(t *testing.T) {
			s := stack.New(t, tasks)
			s.Consumer.SnapshotBytes = 500 // so that the rows are several messages
			s.Consumer.FoldEvery, s.Consumer.Retention = 20*time.Millisecond, time.Second
			begun, release := make(chan struct{}), make(chan struct{})
			written, dead := make(chan struct{}, 1000), make(chan struct{})
			s.Consumer.Failpoint = func(p failpoint.Point) {
				switch {
				case p == failpoint.FoldBegun:
					close(begun)
					<-release
				case p == failpoint.FoldRow && dies:
					written <- struct{}{}
					<-dead
				case p == failpoint.FoldRow:
					written <- struct{}{}
				}
			}
			s.StartIngest()
			m := s.StartMember()
			sh := s.Create(client.Definition{Table: "tasks"})
			s.Exec("UPDATE tasks SET title = 'other' WHERE id < 10")
			s.Verify(sh)
			info := sh.Info()
			if _, err := s.Client.Fold(t.Context(), info.Handle); err != nil {
				t.Fatal(err)
			}
			<-begun
			if err := sh.Delete(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.Until("the shape has ended", func() (bool, error) {
				now, err := s.Client.Get(t.Context(), info.Handle)
				if gone, ok := errors.AsType[*client.RequestError](err); ok && gone.Code == control.CodeNotFound {
					return true, nil
				}
				return err == nil && now.State == control.StateEnded, nil
			}, func() string { return "it has not" })
			close(release)
			<-written
			if dies {
				m.Cut()
				close(dead)
				m.Stop()
				s.Consumer.Failpoint = nil
				s.StartConsumer()
			}
			s.Until("nothing is left", func() (bool, error) { return len(subjectsLeft(s, info)) == 0, nil }, func() string { return fmt.Sprint(subjectsLeft(s, info)) })
			if n := 1 + len(written); n > 2 {
				t.Errorf("%d messages were written behind the shape's end", n)
			}
		})
	}
}

// TestAConsumerTellsOfNoFoldThatIsNotDone lets a consumer die when a fold that was due is stored, and its record says that it goes on.
func TestAConsumerTellsOfNoFoldThatIsNotDone(t *testing.T) {
	s := stack.New(t, tasks)
	s.Consumer.FoldFactor, s.Consumer.FoldLeast, s.Consumer.FoldEvery = 0.1, 1, 20*time.Millisecond
	stored, dead := make(chan struct{}), make(chan struct{})
	s.Consumer.Failpoint = func(p failpoint.Point) {
		if p == failpoint.FoldUntold {
			close(stored)
			<-dead
		}
	}
	s.StartIngest()
	m := s.StartMember()
	sh := s.Create(client.Definition{Table: "tasks"})
	s.Exec("UPDATE tasks SET title = 'other'")
	<-stored
	if info, err := sh.Refresh(t.Context()); err != nil || info.Fold == nil || info.Fold.Began == nil || info.Generation != 1 {
		t.Fatalf("the fold that is not yet told of is %+v of generation %d (%v)", info.Fold, info.Generation, err)
	}
	m.Cut()
	close(dead)
	m.Stop()
	s.Consumer.Failpoint, s.Consumer.FoldFactor = nil, -1
	s.StartConsumer()
	s.Await(sh, "no fold is told of", func(i control.Shape) bool { return i.Generation == 1 && i.Fold == nil })
	s.Verify(sh)
}
