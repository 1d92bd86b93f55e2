package flow

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// TestShapesBeginWhileWhatTheySelectFromNeverRests makes shapes that select from one with subqueries, which goes from unit to
// unit. Sooner or later one finds no moment between two of them, and begins together with that.
func TestShapesBeginWhileWhatTheySelectFromNeverRests(t *testing.T) {
	s := stack.New(t, nestedSchema)
	var together atomic.Int64
	s.Consumer.Failpoint = func(p failpoint.Point) {
		if p == failpoint.ChainParted {
			together.Add(1)
		}
	}
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	inner := s.Create(client.Definition{Table: "tasks", Columns: []string{"id"}, Where: ofProjects})
	stopWriting := changing(s, 1, 0)
	for n := 0; together.Load() < 2; n++ {
		if n == 60 {
			t.Fatalf("of %d shapes %d began together with what they select from", n, together.Load())
		}
		outer := s.Create(client.Definition{Table: "comments", Where: fmt.Sprintf("id <> %d AND %s", n, ofTasks)})
		before := together.Load()
		s.Await(outer, "live", func(i control.Shape) bool { return i.State == control.StateLive })
		if together.Load() > before || n == 0 {
			stopWriting()
			s.Verify(inner, outer)
			stopWriting = changing(s, 1, 0)
		}
		if err := outer.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	stopWriting()
	s.Verify(inner)
}

// TestAShapeBeginsBehindAUnitOfWhatItSelectsFrom reads the first rows of a shape for as long as the shape that it selects from takes to go
// through a whole unit. In the middle of that unit a row comes that no snapshot shows.
func TestAShapeBeginsBehindAUnitOfWhatItSelectsFrom(t *testing.T) {
	s := stack.New(t, nestedSchema)
	rows, unit := newGate(failpoint.AfterSnapshotRows), newGate(failpoint.UnitOpen)
	s.Consumer.Failpoint = func(p failpoint.Point) {
		rows.pass(p)
		unit.pass(p)
	}
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	t.Cleanup(rows.open)
	t.Cleanup(unit.open)
	s.Exec("UPDATE projects SET active = true WHERE id = 1")
	inner := s.Create(client.Definition{Table: "tasks", Columns: []string{"id"}, Where: ofProjects})
	s.Verify(inner)
	var task int
	if err := s.DB.QueryRow(t.Context(), "SELECT min(id) FROM tasks WHERE project_id = 1").Scan(&task); err != nil {
		t.Fatal(err)
	}
	read, opened := rows.close(), unit.close()
	outer, err := s.Client.Create(t.Context(), client.Definition{Table: "comments", Where: ofTasks})
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the first rows", read)
	s.Exec("UPDATE projects SET active = false WHERE id = 1")
	await(t, "the unit of the inner shape", opened)
	const comment = 9000
	s.Exec("INSERT INTO comments VALUES ($1, $2, 'on a task of a project that is not active')", comment, task)
	unit.open()
	s.Verify(inner)
	rows.open()
	s.Verify(outer)
	end, err := outer.Refresh(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range outer.Subscribe(client.Beginning(), client.Options{}).Events(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		switch e := e.(type) {
		case client.Change:
			if id, _ := e.Row.Text("id"); id == fmt.Sprint(comment) && e.Kind != change.Discard {
				t.Errorf("the shape's log has the comment: %s at %s", e.Kind, e.Offset)
			}
		case client.Commit:
			if e.Offset == end.Offset {
				return
			}
		}
	}
}
