package flow

import (
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/long"
	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
)

// lostServers are what may become of a server that another one takes over from, and when.
var lostServers = []struct {
	name string
	ends bool
	unit failpoint.Point // where a unit is then
}{
	{"that ends, with the barrier", true, failpoint.UnitWaits},
	{"that ends before the barrier", true, failpoint.SnapshotOpen},
	{"that some stay connected to", false, failpoint.SnapshotOpen},
	{"that some stay connected to, with the barrier", false, failpoint.UnitWaits},
}

// lost is what only the lost server commits, and kept what the other one does; its WAL gets further.
const (
	lost = "INSERT INTO tasks SELECT i, 1, false, 'lost' FROM generate_series(1000, 1099) i; UPDATE tasks SET title = 'lost' WHERE id < 20"
	kept = "INSERT INTO tasks SELECT i, 1, false, 'kept' FROM generate_series(2000, 4999) i; UPDATE tasks SET title = 'kept' WHERE id > 20"
)

// ask asks for a shape. Connections of the consumer may have gone with a server that was stopped.
func ask(t *testing.T, s *stack.Stack, d client.Definition) (sh *client.Shape) {
	t.Helper()
	s.Until("the shape is created", func() (ok bool, err error) {
		sh, err = s.Client.Create(t.Context(), d)
		return err == nil, err
	}, func() string { return "it is not" })
	return sh
}

// TestAShapeIsMadeWhilePostgresFailsOver lets a server take over that lacks what the snapshot of a
// new shape has seen. Ingest had not published it, so the change log goes on.
func TestAShapeIsMadeWhilePostgresFailsOver(t *testing.T) {
	t.Parallel()
	for _, tt := range lostServers[1:3] {
		t.Run("from a server "+tt.name, func(t *testing.T) {
			if tt.ends {
				long.Only(t)
			}
			p := newPair(t)
			s := stack.On(t, p.url, projectSchema)
			s.Consumer.Nudge = 500 * time.Millisecond
			point := newGate(failpoint.RowsRead)
			defer point.open()
			s.Consumer.Failpoint = point.pass
			stopIngest := s.StartIngest()
			s.StartConsumer()
			old := s.Create(client.Definition{Table: "tasks"})
			s.Verify(old)
			stopIngest()
			p.fork(s)
			s.Exec(lost)
			reached := point.close()
			sh := ask(t, s, client.Definition{Table: "tasks", Where: "id > 0"})
			await(t, "rows that are read", reached)
			p.failover(s, tt.ends)
			point.open()
			s.StartIngest()
			s.Exec(kept)
			s.Await(sh, "live", func(i control.Shape) bool { return i.State == control.StateLive })
			s.Verify(sh, old)
		})
	}
}

// published waits until the change log has all that is committed.
func published(t *testing.T, s *stack.Stack) {
	t.Helper()
	lsn, err := pg.EmitBarrier(t.Context(), s.DB, topology.BarrierPrefix, "published")
	if err != nil {
		t.Fatal(err)
	}
	s.Until("the change log is at "+lsn.String(), func() (bool, error) {
		st, err := s.JS.Stream(t.Context(), s.Source.ChangeStream())
		if err != nil {
			return false, err
		}
		m, err := st.GetLastMsgForSubject(t.Context(), s.Source.ControlSubject())
		if err != nil {
			return false, err
		}
		at, err := stream.LSN(m.Header)
		return at >= lsn, err
	}, func() string { return "it is not" })
}

// TestAUnitIsOpenWhilePostgresFailsOver is the same for the unit of shapes with a subquery: while
// they are live, and while one begins.
func TestAUnitIsOpenWhilePostgresFailsOver(t *testing.T) {
	t.Parallel()
	for _, tt := range lostServers {
		t.Run("of live shapes, from a server "+tt.name, func(t *testing.T) {
			if !tt.ends {
				long.Only(t)
			}
			p := newPair(t)
			s := stack.On(t, p.url, projectSchema)
			s.Consumer.Nudge = 500 * time.Millisecond
			point := newGate(tt.unit)
			defer point.open()
			s.Consumer.Failpoint = point.pass
			stopIngest := s.StartIngest()
			stopConsumer := s.StartConsumer()
			s.StartMaterializer()
			sh := s.Create(client.Definition{Table: "tasks", Where: activeTasks})
			s.Verify(sh)
			stopConsumer()
			s.Exec("UPDATE projects SET active = NOT active")
			published(t, s)
			stopIngest()
			p.fork(s)
			s.Exec(lost)
			reached := point.close()
			s.StartConsumer()
			await(t, "a unit", reached)
			p.failover(s, tt.ends)
			point.open()
			s.StartIngest()
			s.Exec(kept)
			s.Verify(sh)
		})
		t.Run("of a shape that begins, from a server "+tt.name, func(t *testing.T) {
			if tt.ends {
				long.Only(t)
			}
			p := newPair(t)
			s := stack.On(t, p.url, projectSchema)
			s.Consumer.Nudge = 500 * time.Millisecond
			point := newGate(tt.unit)
			defer point.open()
			s.Consumer.Failpoint = point.pass
			stopIngest := s.StartIngest()
			s.StartConsumer()
			s.StartMaterializer()
			old := s.Create(client.Definition{Table: "tasks", Where: activeTasks})
			s.Verify(old)
			published(t, s)
			stopIngest()
			p.fork(s)
			s.Exec(lost)
			reached := point.close()
			sh := ask(t, s, client.Definition{Table: "tasks", Where: "id > 0 AND " + activeTasks})
			await(t, "a snapshot", reached)
			p.failover(s, tt.ends)
			point.open()
			s.StartIngest()
			s.Exec(kept)
			s.Await(sh, "live", func(i control.Shape) bool { return i.State == control.StateLive })
			s.Verify(sh, old)
		})
	}
}
