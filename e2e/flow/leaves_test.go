package flow

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/pkg/client"
)

// TestAShapeIsDeletedWhileOthersAreInAUnitWithIt deletes a shape in the middle of a unit. The inner shape that only it selected
// from is deleted as well, and the shapes that stay must not wait for that.
func TestAShapeIsDeletedWhileOthersAreInAUnitWithIt(t *testing.T) {
	s := stack.New(t, `CREATE TABLE red (id int PRIMARY KEY, active bool); CREATE TABLE blue (id int PRIMARY KEY, active bool);
		INSERT INTO red SELECT i, i % 2 = 0 FROM generate_series(1, 10) i; INSERT INTO blue SELECT * FROM red;
		CREATE TABLE things (id int PRIMARY KEY, red int, blue int); INSERT INTO things SELECT i, 1 + i % 10, 1 + i % 10 FROM generate_series(1, 100) i`)
	s.Consumer.InnerGrace = time.Millisecond
	s.Consumer.SyncInterval = 20 * time.Millisecond // of the sweep, too
	first, second := newGate(failpoint.UnitOpen), newGate(failpoint.UnitOpen)
	var toggled atomic.Bool
	var opens atomic.Int64
	s.Consumer.Failpoint = func(p failpoint.Point) {
		if p != failpoint.UnitOpen || !toggled.Load() {
			return
		}
		switch opens.Add(1) {
		case 1:
			first.pass(p)
		case 2:
			second.pass(p)
		}
	}
	for _, g := range []*gate{first, second} {
		t.Cleanup(g.open)
	}
	s.StartIngest()
	stop := s.StartConsumer()
	s.StartMaterializer()
	goes := s.Create(client.Definition{Table: "things", Where: "red IN (SELECT id FROM red WHERE active)"})
	stays := s.Create(client.Definition{Table: "things", Where: "blue IN (SELECT id FROM blue WHERE active)"})
	told := s.Create(client.Definition{Table: "things"})
	inner := goes.Info().Subqueries[0]
	gone := func(what, id string) {
		t.Helper()
		s.Until(what+" is gone", func() (bool, error) {
			_, err := s.Client.Get(t.Context(), id)
			return errors.Is(err, client.ErrNotFound), nil
		}, func() string { return "it is there" })
	}
	s.Verify(goes, stays)

	stop()
	atFirst, atSecond := first.close(), second.close()
	toggled.Store(true)
	s.Exec("BEGIN; UPDATE red SET active = NOT active WHERE id < 5; UPDATE blue SET active = NOT active WHERE id < 5; COMMIT")
	s.StartConsumer() // both stand at one place
	await(t, "the unit of both", atFirst)
	for _, sh := range []*client.Shape{goes, told} { // who sees the latter go has seen the former
		if err := s.Client.Delete(t.Context(), sh.Handle()); err != nil {
			t.Fatal(err)
		}
	}
	gone("the shape that is in no unit", told.Handle())
	first.open()
	await(t, "the unit of the one that stays", atSecond)
	gone("the shape", goes.Handle())
	gone("what it selected from", inner)
	second.open()
	s.Verify(stays)
	s.Exec("BEGIN; UPDATE red SET active = NOT active; UPDATE blue SET active = NOT active; COMMIT")
	s.Verify(stays)
}
