package flow

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// TestALockedTableHoldsUpNobodyElse: an application has a table locked whole for
// long, while more shapes of it are being made than snapshots may be open. They
// wait without holding what others need.
func TestALockedTableHoldsUpNobodyElse(t *testing.T) {
	s := stack.New(t, nestedSchema)
	stopIngest := s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	other := s.Create(client.Definition{Table: "tasks", Where: ofProjects})
	s.Create(client.Definition{Table: "comments", Where: "id < 0"}) // which publishes the table
	s.Create(client.Definition{Table: "teams"})
	s.Verify(other)
	stopIngest() // so that the snapshots are open when the table is locked, and nothing has been read in them
	var shapes []*client.Shape
	for i := range 20 {
		sh, err := s.Client.Create(t.Context(), client.Definition{Table: "comments", Where: fmt.Sprintf("id > %d AND task_id IN (SELECT id FROM tasks WHERE %s)", i, ofProjects)})
		if err != nil {
			t.Fatal(err)
		}
		shapes = append(shapes, sh)
	}
	locker := s.Connect()
	if _, err := locker.PgConn().Exec(t.Context(), "BEGIN; LOCK TABLE comments IN ACCESS EXCLUSIVE MODE").ReadAll(); err != nil {
		t.Fatal(err)
	}
	s.StartIngest()
	for i := range 3 { // some time, for all of them to come to the locked table
		s.Exec("UPDATE projects SET active = NOT active")
		s.Verify(other, s.Create(client.Definition{Table: "people", Where: fmt.Sprintf("id > %d AND team IN (SELECT id FROM teams WHERE open)", i)}))
		s.Verify(s.Create(client.Definition{Table: "people", Where: fmt.Sprintf("id > %d", i)}))
	}
	_, err := s.Client.Create(t.Context(), client.Definition{Table: "comments", Where: "id > 100"})
	if apiErr, ok := errors.AsType[*client.RequestError](err); !ok || apiErr.Code != control.CodeUnavailable {
		t.Errorf("a request for a shape of the locked table: %v", err)
	}
	if _, err := locker.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	for _, sh := range shapes {
		s.Await(sh, "live", func(i control.Shape) bool { return i.State == control.StateLive })
	}
	s.Verify(shapes...)
}

// TestALockedTableHoldsUpNoOtherNewShape: the same for shapes without
// subqueries, more of them than are created at once.
func TestALockedTableHoldsUpNoOtherNewShape(t *testing.T) {
	s := stack.New(t, nestedSchema)
	var gate atomic.Pointer[chan struct{}]
	s.Consumer.Failpoint = func(p failpoint.Point) {
		if g := gate.Load(); g != nil && p == failpoint.SnapshotOpen {
			<-*g
		}
	}
	s.StartIngest()
	s.StartConsumer()
	s.Create(client.Definition{Table: "comments"}) // which publishes the table
	s.Create(client.Definition{Table: "people"})
	locked := make(chan struct{})
	gate.Store(&locked)
	var shapes []*client.Shape
	for i := range 100 {
		sh, err := s.Client.Create(t.Context(), client.Definition{Table: "comments", Where: fmt.Sprintf("id > %d", i)})
		if err != nil {
			t.Fatal(err)
		}
		shapes = append(shapes, sh)
	}
	locker := s.Connect()
	if _, err := locker.PgConn().Exec(t.Context(), "BEGIN; LOCK TABLE comments IN ACCESS EXCLUSIVE MODE").ReadAll(); err != nil {
		t.Fatal(err)
	}
	close(locked)
	for i := range 5 {
		s.Verify(s.Create(client.Definition{Table: "people", Where: fmt.Sprintf("id > %d", i)}))
	}
	if _, err := locker.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	for _, sh := range shapes {
		s.Await(sh, "live", func(i control.Shape) bool { return i.State == control.StateLive })
	}
	s.Verify(shapes[:5]...)
}
