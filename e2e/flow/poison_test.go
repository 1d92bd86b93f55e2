package flow

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// The tests of this file store messages that nobody can read, as a person with
// the wrong command, a broken disk or another program may. Each pins I8: what the
// message concerns stops with its reason, everything else goes on.

func poisonStack(t *testing.T) *stack.Stack {
	t.Helper()
	s := stack.New(t, taskSchema)
	s.Consumer.Partitions = 2
	s.StartIngest()
	return s
}

// poison stores a message that nobody can read.
func poison(s *stack.Stack, subject string, h nats.Header) {
	s.TB.Helper()
	if _, err := s.JS.PublishMsg(s.TB.Context(), &nats.Msg{Subject: subject, Header: h, Data: []byte("\xc1 nonsense")}); err != nil {
		s.TB.Fatal(err)
	}
}

// endedFor waits until shapes have ended for a reason.
func endedFor(s *stack.Stack, reason string, shapes ...*client.Shape) {
	s.TB.Helper()
	for _, sh := range shapes {
		s.Await(sh, "ended: "+reason, func(i control.Shape) bool {
			return i.State == control.StateEnded && strings.Contains(i.Reason, reason)
		})
	}
}

func TestALogWhoseEndCannotBeReadEndsAlone(t *testing.T) {
	s := poisonStack(t)
	stop := s.StartConsumer()
	bad, worse, beside, healthy := createIn(s, 0, "tasks", "project > 0"), createIn(s, 0, "tasks", "project > 1"), createIn(s, 0, "projects", "active"), createIn(s, 1, "tasks", "project > 0")
	stop()
	poison(s, s.Source.LogSubject(0, bad.Handle()), nats.Header{topology.HeaderTail: {"nonsense"}})
	poison(s, s.Source.LogSubject(0, worse.Handle()), nil)
	s.Exec("DELETE FROM tasks WHERE id % 5 = 0; UPDATE projects SET active = NOT active WHERE id % 3 = 0")
	s.StartConsumer()
	endedFor(s, "cannot be read", bad, worse)
	s.Verify(beside, healthy, createIn(s, 0, "tasks", "project > 0"))
}

func TestACheckpointThatCannotBeReadStopsItsPartition(t *testing.T) {
	s := poisonStack(t)
	s.Consumer.SyncInterval = time.Hour // nothing is trimmed: without its checkpoint the shape goes on from its beginning
	stop := s.StartConsumer()
	stuck, healthy := createIn(s, 0, "tasks", "project > 0"), createIn(s, 1, "tasks", "project > 0")
	stop()
	poison(s, s.Source.CheckpointSubject(0), nats.Header{"Nats-Rollup": {"sub"}})
	s.StartConsumer()
	s.Exec("DELETE FROM tasks WHERE id % 5 = 0")
	isDown(s, 0, true)
	s.Verify(healthy)
	status, err := s.Client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(status.Down) != 1 || !strings.Contains(status.Down[0].Reason, "nats stream rmm "+s.Source.ShapeStream(0)) {
		t.Fatalf("%+v does not say what to do", status.Down)
	}
	st, err := s.JS.Stream(t.Context(), s.Source.ShapeStream(0))
	if err != nil {
		t.Fatal(err)
	}
	m, err := st.GetLastMsgForSubject(t.Context(), s.Source.CheckpointSubject(0))
	if err != nil {
		t.Fatal(err)
	}
	if err := st.DeleteMsg(t.Context(), m.Sequence); err != nil {
		t.Fatal(err)
	}
	isDown(s, 0, false)
	s.Verify(stuck, healthy)
}

// TestACheckpointThatCannotBeReadIsToldBeforeItsWriterSeesIt: as long as nothing is written the one that follows the partition
// does not look at its checkpoint, and meanwhile no request may fail for it.
func TestACheckpointThatCannotBeReadIsToldBeforeItsWriterSeesIt(t *testing.T) {
	s := poisonStack(t)
	s.StartConsumer()
	bad, healthy := createIn(s, 0, "tasks", "project > 0"), createIn(s, 1, "tasks", "project > 0")
	s.Verify(bad, healthy)
	poison(s, s.Source.CheckpointSubject(0), nil)
	status, err := s.Client.Status(t.Context())
	if err != nil || len(status.Down) != 1 || !strings.Contains(status.Down[0].Reason, "checkpoint of partition 0 cannot be read") {
		t.Errorf("%+v, %v", status.Down, err)
	}
	if _, err := s.Client.Get(t.Context(), bad.Handle()); err != nil {
		t.Error(err)
	}
	if all, err := s.Client.List(t.Context()); err != nil || len(all) != 2 {
		t.Errorf("%d shapes, %v", len(all), err)
	}
	s.Verify(createIn(s, 1, "projects", "active"))
}

func TestARecordThatCannotBeReadEndsItsShape(t *testing.T) {
	s := poisonStack(t)
	stop := s.StartConsumer()
	running, moved := createIn(s, 0, "tasks", "project > 0"), createIn(s, 0, "tasks", "project > 1")
	sleeping, healthy := createIn(s, 1, "tasks", "project > 1"), createIn(s, 1, "tasks", "project > 0")
	kv, err := s.JS.KeyValue(t.Context(), s.Source.ShapeBucket())
	if err != nil {
		t.Fatal(err)
	}
	for _, sh := range []*client.Shape{running, moved, sleeping} {
		if sh == sleeping {
			stop()
		}
		record := []byte("nonsense")
		switch sh {
		case running:
			record = inPartition(t, kv, sh, 99) // which is none
		case moved:
			record = inPartition(t, kv, sh, 1)
		}
		if _, err := kv.Put(t.Context(), sh.Info().ID, record); err != nil {
			t.Fatal(err)
		}
		if sh == sleeping {
			s.StartConsumer()
		}
		var reason string
		s.Until("the log tells its readers", func() (ended bool, err error) {
			reason, ended, err = lastWord(t.Context(), s, sh)
			return ended, err
		}, func() string { return reason })
		if !strings.Contains(reason, "cannot be read") {
			t.Errorf("the log ends with %q", reason)
		}
		s.Exec("DELETE FROM tasks WHERE id IN (SELECT id FROM tasks LIMIT 10)")
		s.Verify(healthy)
	}
	if _, err := s.Client.Status(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := s.Client.List(t.Context()); err != nil {
		t.Error(err)
	}
	if err := kv.Delete(t.Context(), running.Info().ID); err != nil { // as the log says
		t.Fatal(err)
	}
	s.Verify(createIn(s, 0, "tasks", "project > 0"))
}

// inPartition is the record of a shape as if it were in another partition.
func inPartition(t *testing.T, kv jetstream.KeyValue, sh *client.Shape, partition int) []byte {
	t.Helper()
	e, err := kv.Get(t.Context(), sh.Info().ID)
	if err != nil {
		t.Fatal(err)
	}
	was := fmt.Sprintf(`"partition":%d`, sh.Info().Partition)
	if !bytes.Contains(e.Value(), []byte(was)) {
		t.Fatalf("no %s in %s", was, e.Value())
	}
	return bytes.Replace(e.Value(), []byte(was), fmt.Appendf(nil, `"partition":%d`, partition), 1)
}

// lastWord is the reason with which a shape's log ends, if it does.
func lastWord(ctx context.Context, s *stack.Stack, sh *client.Shape) (reason string, ended bool, err error) {
	st, err := s.JS.Stream(ctx, s.Source.ShapeStream(sh.Info().Partition))
	if err != nil {
		return "", false, err
	}
	m, err := st.GetLastMsgForSubject(ctx, s.Source.LogSubject(sh.Info().Partition, sh.Handle()))
	if err != nil {
		return "", false, err
	}
	tail, err := wire.ParseTail(m.Header.Get(topology.HeaderTail))
	if err != nil || !tail.Ended {
		return "", false, err
	}
	var d wire.LogDecoder
	err = d.Decode(m.Data, func(e *wire.Entry) error {
		if e.Kind == wire.EntryEnd {
			reason = e.Reason
		}
		return nil
	})
	return reason, true, err
}

// An inner shape's record cannot be read when its partition is taken over: what selects from it ends, and nothing else.
func TestAnInnerRecordThatCannotBeReadStopsNoConsumer(t *testing.T) {
	s := poisonStack(t)
	stop := s.StartConsumer()
	s.StartMaterializer()
	outer, healthy := createOuterIn(s, 0, 0), createIn(s, 1, "tasks", "project > 0")
	s.Verify(outer, healthy)
	stop()
	kv, err := s.JS.KeyValue(t.Context(), s.Source.ShapeBucket())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), outer.Info().Subqueries[0][:16], []byte("nonsense")); err != nil {
		t.Fatal(err)
	}
	s.StartConsumer()
	s.Exec("DELETE FROM tasks WHERE id % 5 = 0")
	s.Verify(healthy)
	endedFor(s, "", outer)
}

// A log has ended, its record does not say so yet, and why it ended cannot be read: the header says that it did.
func TestALastWordThatCannotBeReadStopsNoConsumer(t *testing.T) {
	s := poisonStack(t)
	stop := s.StartConsumer()
	bad, healthy := createIn(s, 0, "tasks", "project > 0"), createIn(s, 1, "tasks", "project > 0")
	s.Verify(bad, healthy)
	stop()
	tail := wire.Tail{Began: true, Ended: true, Last: change.Offset{LSN: 1 << 40}, Committed: change.Offset{LSN: 1 << 40}}
	poison(s, s.Source.LogSubject(0, bad.Handle()), nats.Header{topology.HeaderTail: {tail.String()}})
	s.StartConsumer()
	s.Exec("DELETE FROM tasks WHERE id % 5 = 0")
	s.Verify(healthy)
	endedFor(s, "", bad)
}

func TestAChangeThatCannotBeReadEndsTheShapesOfItsTable(t *testing.T) {
	s := poisonStack(t)
	s.StartConsumer()
	s.StartMaterializer()
	tasks, outer, healthy := createIn(s, 0, "tasks", "project > 0"), createOuterIn(s, 1, 1), createIn(s, 1, "projects", "active")
	s.Verify(tasks, outer, healthy)
	s.Exec("UPDATE projects SET active = NOT active WHERE id % 2 = 0")
	s.Verify(tasks, outer, healthy) // with messages of ingest on their way, it would not be one message that is wrong
	last, err := strconv.ParseUint(lastLSN(s), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	// Behind all that is there: a group that has everything up to an LSN misses nothing at it.
	poison(s, s.Source.ChangeSubject("public", "tasks"), nats.Header{topology.HeaderLSN: {strconv.FormatUint(last+1, 10)}})
	s.Verify(healthy) // ingest comes upon it with one message on its way
	s.Exec("UPDATE projects SET active = NOT active WHERE id % 3 = 0; DELETE FROM tasks WHERE id % 2 = 0")
	endedFor(s, "cannot be read", tasks, outer)
	s.Verify(healthy)
	again := createIn(s, 0, "tasks", "project > 0")
	s.Exec("UPDATE projects SET active = NOT active WHERE id % 5 = 0; DELETE FROM tasks WHERE id % 3 = 0")
	s.Verify(healthy, again)

	s.Verify(healthy, again)
	poison(s, s.Source.ControlSubject(), nats.Header{topology.HeaderLSN: {lastLSN(s)}})
	endedFor(s, "cannot be read", healthy, again)
	healthy, again = createIn(s, 0, "tasks", "project > 0"), createIn(s, 1, "projects", "active")
	s.Verify(healthy, again)
	poison(s, s.Source.ControlSubject(), nil) // as nats pub would: ingest may have several messages on their way then, and lose one
	endedFor(s, "cannot be read", healthy, again)
	// What is asked for before ingest goes on behind the message begins before it, and ends as well.
	if _, err := pg.EmitBarrier(t.Context(), s.DB, topology.BarrierPrefix, "on"); err != nil {
		t.Fatal(err)
	}
	s.Until("ingest goes on", func() (bool, error) { return lastLSN(s) != "", nil }, func() string { return "the message is the last" })
	for range 3 {
		s.Verify(createIn(s, 0, "tasks", "project > 1"), createIn(s, 1, "projects", "active"))
	}
}

func TestASchemaThatCannotBeReadEndsTheShapesOfItsTable(t *testing.T) {
	s := stack.New(t, taskSchema)
	s.Consumer.Partitions = 2
	stopIngest := s.StartIngest()
	stop := s.StartConsumer()
	tasks, healthy := createIn(s, 0, "tasks", "project > 0"), createIn(s, 1, "projects", "active")
	s.Exec("UPDATE projects SET active = NOT active WHERE id % 2 = 0; DELETE FROM tasks WHERE id % 2 = 0")
	s.Verify(tasks, healthy)
	stop()
	kv, err := s.JS.KeyValue(t.Context(), s.Source.RelationBucket())
	if err != nil {
		t.Fatal(err)
	}
	var oid uint32
	if err := s.DB.QueryRow(t.Context(), "SELECT 'tasks'::regclass::oid").Scan(&oid); err != nil {
		t.Fatal(err)
	}
	newest, err := kv.Get(t.Context(), topology.OIDKey(oid))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), string(newest.Value()), []byte("\xc1 nonsense")); err != nil {
		t.Fatal(err)
	}
	s.Exec("UPDATE projects SET active = NOT active WHERE id % 3 = 0; DELETE FROM tasks WHERE id % 3 = 0")
	s.StartConsumer()
	endedFor(s, "cannot be read", tasks)
	s.Verify(healthy)
	stopIngest()
	s.StartIngest() // writes it again
	again := createIn(s, 0, "tasks", "project > 0")
	s.Exec("UPDATE projects SET active = NOT active WHERE id % 5 = 0; DELETE FROM tasks WHERE id % 5 = 0")
	s.Verify(healthy, again)
}

// lastLSN is the LSN of the change log's last message, as its header has it.
func lastLSN(s *stack.Stack) string {
	s.TB.Helper()
	st, err := s.JS.Stream(s.TB.Context(), s.Source.ChangeStream())
	if err != nil {
		s.TB.Fatal(err)
	}
	m, err := st.GetMsg(s.TB.Context(), st.CachedInfo().State.LastSeq)
	if err != nil {
		s.TB.Fatal(err)
	}
	return m.Header.Get(topology.HeaderLSN)
}

func TestAVerdictThatCannotBeReadEndsTheShapesThatNeedIt(t *testing.T) {
	s := poisonStack(t)
	s.StartConsumer()
	s.StartMaterializer()
	plain, bad, healthy := createIn(s, 0, "tasks", "project > 0"), createOuterIn(s, 0, 0), createOuterIn(s, 1, 1)
	s.Verify(plain, bad, healthy)
	inner := bad.Info().Subqueries[0]
	poison(s, s.Source.VerdictSubject(0, topology.ValueSet(inner, []int{0})), nil)
	endedFor(s, "cannot be read", bad)
	s.Exec("UPDATE projects SET active = NOT active WHERE id % 3 = 0; DELETE FROM tasks WHERE id % 2 = 0")
	s.Verify(plain, healthy)
}
