package flow

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/shapebus/shapebus/e2e/logcheck"
	"github.com/shapebus/shapebus/e2e/long"
	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

const treeSchema = `
	CREATE TABLE tree (id int PRIMARY KEY, parent int, open bool NOT NULL DEFAULT true);
	CREATE TABLE leaves (id int PRIMARY KEY, tree_id int);
	INSERT INTO tree SELECT i, nullif(i / 2, 0), i % 3 > 0 FROM generate_series(1, 40) i;
	INSERT INTO leaves SELECT i, i % 45 FROM generate_series(1, 200) i`

// TestShapesThatDependOnOneAnotherEndTogether pins I9 where one cause ends shapes and what
// they depend on at once: each of them ends, once, with a reason.
func TestShapesThatDependOnOneAnotherEndTogether(t *testing.T) {
	t.Parallel()
	definitions := []client.Definition{
		{Table: "tree"},
		{Table: "tree", Where: "parent IN (SELECT id FROM tree WHERE open)"},
		{Table: "tree", Where: "parent IN (SELECT id FROM tree WHERE parent IN (SELECT id FROM tree WHERE open))"},
		{Table: "leaves", Where: "tree_id IN (SELECT id FROM tree WHERE open) OR tree_id IN (SELECT parent FROM tree WHERE open)"},
		{Table: "leaves", Where: "tree_id NOT IN (SELECT id FROM tree WHERE parent IN (SELECT id FROM tree WHERE open))"},
	}
	for _, tt := range []struct {
		name, sql string
		slotLost  bool
		long      bool
	}{
		{name: "the slot is lost", slotLost: true},
		{name: "the publication is dropped", sql: "DROP PUBLICATION "},
		{name: "a table that selects from itself changes", sql: "ALTER TABLE tree ADD extra int; INSERT INTO tree VALUES (1000, 1, true, 7)", long: true},
		{name: "such a table changes and is quiet", sql: "ALTER TABLE tree ADD extra int", long: true},
		{name: "it changes between rows that come and go", sql: `BEGIN; UPDATE tree SET open = NOT open; ALTER TABLE tree ADD extra int;
			UPDATE tree SET open = NOT open WHERE id % 2 = 0; COMMIT`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.long {
				long.Only(t)
			}
			s := stack.New(t, treeSchema)
			stopIngest := s.StartIngest()
			s.StartConsumer()
			s.StartMaterializer()
			var shapes []*client.Shape
			for _, def := range definitions {
				shapes = append(shapes, s.Create(def))
			}
			s.Verify(shapes...)
			switch {
			case tt.slotLost:
				stopIngest()
				dropSlot(s)
				s.StartIngest()
			case tt.name == "the publication is dropped":
				s.Exec(tt.sql + pg.Ident(s.Source.Publication()))
			default:
				s.Exec(tt.sql)
			}
			for _, sh := range shapes {
				info := s.Await(sh, "ended", func(i control.Shape) bool { return i.State == control.StateEnded && i.Reason != "" })
				if st := replayEnded(s, sh); st.Ended != info.Reason {
					t.Errorf("the log of %s ends with %q, its record with %q", sh.Handle(), st.Ended, info.Reason)
				}
			}
			if tt.name == "the publication is dropped" {
				return // ingest makes another, and that is another test's matter
			}
			for i, def := range definitions {
				shapes[i] = s.Create(def)
			}
			s.Verify(shapes...)
		})
	}
}

// TestNoHandleOfAShapeWhoseLogHasEnded lets a consumer die between a shape's last word and the
// record that says so. Whoever asks for the shape is not sent to that log again.
func TestNoHandleOfAShapeWhoseLogHasEnded(t *testing.T) {
	s := stack.New(t, projectSchema)
	s.StartIngest()
	stop := s.StartConsumer()
	s.StartMaterializer()
	def := client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active)"}
	outer := s.Create(def)
	inner, err := s.Client.Open(t.Context(), outer.Info().Subqueries[0])
	if err != nil {
		t.Fatal(err)
	}
	stop()

	release := holdFrom(t, s, 0)
	endLog(t, s, inner, "its owner knows")
	s.StartConsumer() // it stands by, and answers

	if code := createOnce(t, s, def); code != control.CodeConflict {
		t.Errorf("with the inner shape's log at its end the answer is %q; want a refusal for now", code)
	}
	endLog(t, s, outer, "its owner knows")
	if code := createOnce(t, s, def); code != control.CodeConflict {
		t.Errorf("with the shape's log at its end the answer is %q; want a refusal for now", code)
	}
	if info, err := s.Client.Get(t.Context(), outer.Handle()); err != nil || info.State != control.StateEnded {
		t.Errorf("the shape is said to be %q, %v", info.State, err)
	}
	release()
	again := s.Create(def)
	if again.Handle() == outer.Handle() {
		t.Error("the new incarnation has the old handle")
	}
	s.Verify(again)
}

// TestAPartitionIsTakenInWhileNothingCommits: a consumer begins with one partition and is given the other one later. No message of the change log
// comes in between that would tell how far it is.
func TestAPartitionIsTakenInWhileNothingCommits(t *testing.T) {
	s := stack.New(t, projectSchema)
	s.Consumer.Partitions = 2
	s.StartIngest()
	stop := s.StartConsumer()
	shapes := []*client.Shape{createIn(s, 0, "projects", "id > 0"), createIn(s, 1, "projects", "id > 0")}
	s.Verify(shapes...)
	stop()
	release := holdFrom(t, s, 1)
	s.StartConsumer()
	gone := func(sh *client.Shape) {
		t.Helper()
		if err := s.Client.Delete(t.Context(), sh.Handle()); err != nil {
			t.Fatal(err)
		}
		s.Until("the shape is gone", func() (bool, error) {
			_, err := s.Client.Get(t.Context(), sh.Handle())
			if errors.Is(err, client.ErrNotFound) {
				return true, nil
			}
			return false, err
		}, func() string { return "it is there" })
	}
	gone(shapes[0]) // so the session is that of one partition
	release()
	gone(shapes[1])
}

// holdFrom takes the leases on the partitions from one on, in the name of a member that does nothing with them, until release is called.
func holdFrom(t *testing.T, s *stack.Stack, first int) (release func()) {
	t.Helper()
	ctx := t.Context()
	idle := registry.NewMember("the one that dies")
	members, err := registry.OpenMembers(ctx, s.JS, s.Source)
	if err != nil {
		t.Fatal(err)
	}
	holdings, err := registry.OpenHoldings(ctx, s.JS, s.Source, topology.RoleConsumer)
	if err != nil {
		t.Fatal(err)
	}
	held := map[int]registry.Holding{}
	for p := first; p < cmp.Or(s.Consumer.Partitions, 8); p++ {
		h, err := holdings.Take(ctx, p, idle, registry.Holding{})
		if err != nil {
			t.Fatal(err)
		}
		held[p] = h
	}
	answers, err := s.NC.Subscribe(s.Source.MemberSubject(idle.Incarnation), func(m *nats.Msg) { _ = m.Respond(nil) })
	if err != nil {
		t.Fatal(err)
	}
	there, leave := context.WithCancel(ctx)
	left := make(chan error, 1)
	leaving := make(chan struct{}) // it takes nothing more, and gives nothing to others
	close(leaving)
	joined := make(chan struct{})
	go func() { left <- members.Hold(there, topology.RoleConsumer, idle, leaving, func() { close(joined) }) }()
	<-joined
	return func() {
		leave()
		if err := <-left; err != nil {
			t.Fatal(err)
		}
		for p, h := range held {
			if err := holdings.Give(ctx, p, h); err != nil {
				t.Fatal(err)
			}
		}
		_ = answers.Unsubscribe()
	}
}

// TestAnAppReadsFewSnapshotsWhenAllShapesEnd counts what an app reads that asks for its shapes
// again as soon as they have ended.
func TestAnAppReadsFewSnapshotsWhenAllShapesEnd(t *testing.T) {
	s := stack.New(t, projectSchema)
	stopIngest := s.StartIngest()
	s.StartConsumer()
	s.StartConsumer() // a standby answers, too
	s.StartMaterializer()
	defs := []client.Definition{
		{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active)"},
		{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE id IN (SELECT project_id FROM tasks WHERE done))"},
		{Table: "projects"},
	}
	const few = 5
	type result struct {
		handles []string
		err     error
	}
	results := make(chan result, len(defs))
	var first []*client.Shape
	for _, def := range defs {
		first = append(first, s.Create(def))
	}
	s.Verify(first...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for i, def := range defs {
		go func() {
			var r result
			for sh := first[i]; ; {
				r.handles = append(r.handles, sh.Handle())
				ended := false
				for _, err := range sh.Subscribe(client.Beginning(), client.Options{}).Events(ctx) {
					var must *client.MustRefetchError
					ended = ended || errors.As(err, &must)
				}
				if !ended || len(r.handles) > few {
					break
				}
				if sh, r.err = s.Client.Create(ctx, def); r.err != nil {
					break
				}
			}
			results <- r
		}()
	}
	stopIngest()
	dropSlot(s)
	s.StartIngest()
	for _, sh := range first {
		s.Until("the shape has ended", func() (bool, error) {
			info, err := s.Client.Get(t.Context(), sh.Handle())
			return err == nil && info.State == control.StateEnded || errors.Is(err, client.ErrNotFound), err // or has a successor
		}, func() string { return "it has not" })
	}
	var last []*client.Shape
	for _, def := range defs {
		last = append(last, s.Create(def))
	}
	s.Verify(last...)
	cancel()
	for range defs {
		r := <-results
		if r.err != nil && !errors.Is(r.err, context.Canceled) {
			t.Error(r.err)
		}
		if len(r.handles) > few {
			t.Errorf("an app began to read %d times: %v", len(r.handles), r.handles)
		}
	}
}

// replayEnded reads the log of a shape that has ended, once all but its last word is cleared away.
func replayEnded(s *stack.Stack, sh *client.Shape) *logcheck.State {
	s.TB.Helper()
	info := sh.Info()
	subject := s.Source.LogSubject(info.Partition, info.Handle)
	left := uint64(0)
	s.Until("the log is cleared away", func() (bool, error) {
		st, err := s.JS.Stream(s.TB.Context(), s.Source.ShapeStream(info.Partition))
		if err != nil {
			return false, err
		}
		state, err := st.Info(s.TB.Context(), jetstream.WithSubjectFilter(subject))
		if err == nil {
			left = state.State.Subjects[subject]
		}
		return err == nil && left == 1, err
	}, func() string { return fmt.Sprintf("%d messages are left", left) })
	st, err := logcheck.Replay(s.TB.Context(), s.JS, s.Source, info)
	if err != nil {
		s.TB.Fatal(err)
	}
	return st
}

// createOnce asks for a shape, and not again when that is refused for now, as the client does. It
// returns the code of the refusal.
func createOnce(t *testing.T, s *stack.Stack, def client.Definition) (code string) {
	t.Helper()
	data, err := json.Marshal(control.CreateRequest{Table: def.Table, Columns: def.Columns, Where: def.Where})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := s.NC.Request(s.Source.ControlPlane()+"."+control.EndpointCreate, data, stack.Timeout)
	if err != nil {
		t.Fatal(err)
	}
	return answer.Header.Get(micro.ErrorCodeHeader)
}

// dropSlot drops the replication slot of an ingest that has stopped.
func dropSlot(s *stack.Stack) {
	s.TB.Helper()
	if err := pgtest.FreeSlot(s.TB.Context(), s.DB, s.Source.Slot()); err != nil {
		s.TB.Fatal(err)
	}
	s.Exec("SELECT pg_drop_replication_slot($1)", s.Source.Slot())
}

// endLog appends a shape's last word, as the consumer does before it changes the record.
func endLog(t *testing.T, s *stack.Stack, sh *client.Shape, reason string) {
	t.Helper()
	info := sh.Info()
	out, err := stream.OpenAppender(t.Context(), s.NC, s.Source.ShapeStream(info.Partition), stream.AppenderConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	b := wire.NewLogBuilder()
	b.End(reason)
	tail := wire.Tail{Last: info.Offset, Committed: info.Offset, Began: true, Ended: true}
	err = out.Append(t.Context(), stream.Message{
		Subject: s.Source.LogSubject(info.Partition, info.Handle),
		Header:  stream.Header(topology.HeaderTail, tail.String()),
		Data:    b.Finish(),
	}, nil)
	if err == nil {
		err = out.Flush(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}
