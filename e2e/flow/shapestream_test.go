package flow

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
)

// TestTheShapeStreamIsLostUnderAView deletes the stream of shape logs while a
// view follows one of them. Whether the view notices first or the consumer, it comes to show
// the shape's next incarnation and says meanwhile that it stands still.
func TestTheShapeStreamIsLostUnderAView(t *testing.T) {
	for _, first := range []string{"consumer", "view"} {
		t.Run("the "+first+" notices first", func(t *testing.T) {
			s := stack.New(t, tasks)
			s.Consumer.Partitions = 1
			s.StartIngest()
			stop := s.StartConsumer()
			opts := client.Options{Recheck: 50 * time.Millisecond, Patience: time.Second}
			if first == "consumer" {
				opts.Patience = time.Hour
			}
			v, err := s.Client.Watch(t.Context(), client.Definition{Table: "tasks", Columns: []string{"id"}}, client.ViewOptions{Options: opts})
			if err != nil {
				t.Fatal(err)
			}
			defer v.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 2*stack.Timeout)
			defer cancel()
			if err := v.WaitReady(ctx); err != nil {
				t.Fatal(err)
			}
			s.Exec("INSERT INTO tasks VALUES (1001)")
			shows(t, s, v)
			was := v.Shape().Handle()
			s.Until("its record says live", func() (bool, error) { // else the consumer makes it again under the same handle
				sh, err := s.Client.Get(ctx, was)
				return sh.State == control.StateLive, err
			}, func() string { return "it does not" })
			stop()
			s.Exec("INSERT INTO tasks VALUES (1002)")
			if err := s.JS.DeleteStream(ctx, s.Source.ShapeStream(0)); err != nil {
				t.Fatal(err)
			}
			if first == "view" {
				s.Until("the stream is made again", func() (bool, error) { // the server may still be removing the old one
					err := s.Source.EnsureShapeLogs(ctx, s.JS, 1, topology.ShapeLogConfig{})
					return err == nil, err
				}, func() string { return "it is not" })
				s.Until("the view stands still", func() (bool, error) { return v.Stalled() != nil, v.Err() }, func() string { return "it does not" })
			}
			s.StartConsumer()
			shows(t, s, v)
			s.Exec("INSERT INTO tasks VALUES (1003); DELETE FROM tasks WHERE id = 1")
			shows(t, s, v)
			if v.Shape().Handle() == was {
				t.Errorf("it is still %s", was)
			}
			if err := v.Stalled(); err != nil {
				t.Errorf("it still says %v", err)
			}
		})
	}
}

// shows waits until a view has the ids that the table has.
func shows(t *testing.T, s *stack.Stack, v *client.View) {
	t.Helper()
	rows, err := s.DB.Query(t.Context(), "SELECT id::text FROM tasks")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		want = append(want, id)
	}
	slices.Sort(want)
	state := ""
	s.Until("the view shows the table", func() (bool, error) {
		snap, err := v.Snapshot()
		if err != nil {
			state = err.Error()
			return false, v.Err()
		}
		var got []string
		for _, r := range snap.Rows {
			id, _ := r.Text("id")
			got = append(got, id)
		}
		slices.Sort(got)
		state = fmt.Sprintf("%d rows of %d, handle %s, stalled: %v", len(got), len(want), snap.Position.Handle, v.Stalled())
		return strings.Join(got, " ") == strings.Join(want, " "), nil
	}, func() string { return state })
}
