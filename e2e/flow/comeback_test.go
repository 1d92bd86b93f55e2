package flow

import (
	"strings"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// TestAPartitionComesBackToAnotherChangeLog makes the change log again while a
// partition is full. What its shapes missed is gone then, or stands under other
// numbers: they are as their SELECT, or they end.
func TestAPartitionComesBackToAnotherChangeLog(t *testing.T) {
	for name, confirm := range map[string]time.Duration{"the slot has passed what is lost": 10 * time.Millisecond, "the slot has what is lost": time.Hour} {
		t.Run(name, func(t *testing.T) {
			s := stack.New(t, taskSchema)
			s.Consumer.Partitions, s.Consumer.Stall = 2, 300*time.Millisecond
			s.Ingest.FragmentOps, s.Ingest.SyncInterval = 1, confirm
			s.StartIngest()
			s.StartConsumer()
			stuck, healthy := createIn(s, 0, "tasks", "project > 0"), createIn(s, 1, "tasks", "project > 0")
			s.Exec("DO $$ BEGIN FOR i IN 1..300 LOOP INSERT INTO tasks VALUES (10000 + i, i); COMMIT; END LOOP; END $$")
			s.Verify(stuck, healthy)
			was := changeLog(s).Created
			room := fill(s, 0)
			s.Exec("UPDATE tasks SET title = 'a' WHERE id % 5 = 0")
			isDown(s, 0, true)
			if err := s.JS.DeleteStream(t.Context(), s.Source.ChangeStream()); err != nil {
				t.Fatal(err)
			}
			s.Exec("DELETE FROM tasks WHERE id % 7 = 0 OR id < 200")
			s.Until("the change log is made again", func() (bool, error) { return !changeLog(s).Created.Equal(was), nil }, func() string { return "it is not" })
			s.Exec("UPDATE tasks SET title = 'c' WHERE id % 3 = 0")
			lsn := mark(s)
			s.Await(healthy, "past the new beginning", func(i control.Shape) bool {
				return i.State == control.StateEnded || i.Applied >= lsn
			})
			isDown(s, 0, true)
			room()
			s.Exec("UPDATE tasks SET title = 'd' WHERE id % 4 = 0")
			for end := time.Now().Add(4 * time.Second); time.Now().Before(end); { // long enough to come back wrongly
				if status, err := s.Client.Status(t.Context()); err == nil && len(status.Down) == 0 {
					break
				}
			}
			// The new stream comes to have the numbers that the old one had.
			s.Exec("DO $$ BEGIN FOR i IN 1..2500 LOOP INSERT INTO tasks VALUES (20000 + i, i); COMMIT; END LOOP; END $$")
			var all []*client.Shape
			for _, sh := range []*client.Shape{stuck, healthy} {
				info := s.Await(sh, "exact or ended", func(i control.Shape) bool {
					return i.State == control.StateEnded || i.State == control.StateLive && i.LagBytes == 0
				})
				if info.State == control.StateEnded {
					if !strings.Contains(info.Reason, "discarded") {
						t.Errorf("%s has ended: %s", sh.Handle(), info.Reason)
					}
					continue
				}
				all = append(all, sh)
			}
			isDown(s, 0, false)
			s.Verify(all...)
		})
	}
}
