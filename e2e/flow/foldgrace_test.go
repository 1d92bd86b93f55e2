package flow

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/wire"
)

// commits reads a shape from a position to its last commit, and returns where each commit stands.
func commits(s *stack.Stack, sh *client.Shape, from client.Position) (all []client.Position, err error) {
	end, err := sh.Refresh(s.TB.Context())
	if err != nil {
		s.TB.Fatal(err)
	}
	for e, err := range sh.Subscribe(from, client.Options{}).Events(s.TB.Context()) {
		if err != nil {
			return all, err
		}
		if c, ok := e.(client.Commit); ok {
			if all = append(all, c.Position()); c.Offset == end.Offset {
				return all, nil
			}
		}
	}
	return all, errors.New("the events have ended")
}

// beginsWithRows reports whether a log's first message begins with a snapshot's rows, as readers want it who know no generations:
// else these fetch again.
func beginsWithRows(s *stack.Stack, sh *client.Shape) bool {
	s.TB.Helper()
	info := sh.Info()
	st, err := s.JS.Stream(s.TB.Context(), s.Source.ShapeStream(info.Partition))
	if err != nil {
		s.TB.Fatal(err)
	}
	m, err := st.GetMsg(s.TB.Context(), 1, jetstream.WithGetMsgSubject(s.Source.LogSubject(info.Partition, info.Handle)))
	if err != nil {
		s.TB.Fatal(err)
	}
	var kinds []wire.EntryKind
	var d wire.LogDecoder
	if err := d.Decode(m.Data, func(e *wire.Entry) error { kinds = append(kinds, e.Kind); return nil }); err != nil {
		s.TB.Fatal(err)
	}
	return kinds[0] == wire.EntrySegment
}

// TestWhatAFoldReplacesStaysForItsGrace has a reader go on from a place before the newest generation: it can during the grace, and is
// told to fetch again after it. There are never more than two generations.
func TestWhatAFoldReplacesStaysForItsGrace(t *testing.T) {
	for name, where := range map[string]string{"a plain shape": "owner < 1000", "a shape with subqueries": "owner IN (SELECT id FROM owners WHERE active)"} {
		t.Run(name, func(t *testing.T) {
			s := stack.New(t, tasks+`CREATE TABLE owners (id int PRIMARY KEY, active bool); INSERT INTO owners SELECT i, i % 2 = 0 FROM generate_series(0, 9) i;`)
			var sh *client.Shape
			var most atomic.Int64
			s.Consumer.FoldFactor, s.Consumer.FoldEvery, s.Consumer.FoldGrace = -1, 20*time.Millisecond, time.Hour
			fails := func(err error) {
				if t.Context().Err() == nil { // the last purge may outlive the test
					t.Error(err)
				}
			}
			s.Consumer.Failpoint = func(p failpoint.Point) {
				if p < failpoint.FoldBegun || p > failpoint.FoldPurged {
					return
				}
				st, err := s.JS.Stream(t.Context(), s.Source.ShapeStream(sh.Info().Partition))
				if err != nil {
					fails(err)
					return
				}
				i, err := st.Info(t.Context(), jetstream.WithSubjectFilter(s.Source.SegmentSubjects(sh.Info().Partition, sh.Handle())))
				if err != nil {
					fails(err)
					return
				}
				most.Store(max(most.Load(), int64(len(i.State.Subjects))))
			}
			s.StartIngest()
			stop := s.StartConsumer()
			s.StartMaterializer()
			sh = s.Create(client.Definition{Table: "tasks", Where: where})
			change := func(n int) {
				s.Exec(fmt.Sprintf("UPDATE owners SET active = NOT active WHERE id < %d; UPDATE tasks SET title = title || '.' WHERE id <> %d", n, n))
				s.Verify(sh) // so that each is a message of its own
			}
			fold := func(number uint64) {
				t.Helper()
				if _, err := s.Client.Fold(t.Context(), sh.Handle()); err != nil {
					t.Fatal(err)
				}
				s.Await(sh, fmt.Sprintf("generation %d is there", number), func(i control.Shape) bool { return i.Generation == number && i.Fold == nil })
			}
			for n := range 4 {
				change(n)
			}
			all, err := commits(s, sh, client.Beginning())
			if err != nil || len(all) < 4 {
				t.Fatalf("%d commits: %v", len(all), err)
			}
			kept := all[1]
			fold(1)
			change(5)
			if rest, err := commits(s, sh, kept); err != nil || len(rest) < len(all)-1 {
				t.Errorf("during the grace a reader behind commit 2 of %d reads %d more: %v", len(all), len(rest), err)
			}
			if !beginsWithRows(s, sh) {
				t.Error("during the grace the log does not begin with its snapshot")
			}

			stop()
			s.Consumer.FoldGrace = time.Millisecond
			s.StartConsumer()
			s.Until("what the generation replaces is gone", func() (bool, error) { return !beginsWithRows(s, sh), nil }, func() string { return "it is there" })
			_, err = commits(s, sh, kept)
			if gone, ok := errors.AsType[*client.MustRefetchError](err); !ok || !gone.Again || gone.Reason == "" {
				t.Errorf("after the grace a reader behind commit 2 gets %v", err)
			}
			fold(2)
			change(6)
			fold(3)
			s.Verify(sh)
			if most.Load() != 2 {
				t.Errorf("there were %d segments at once", most.Load())
			}
		})
	}
}
