package flow

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/services/consumer"
)

// TestConsumersShareThePartitions has consumers come, leave softly and die while there is traffic. Shapes with
// subqueries stand in other partitions than the shapes that they select from, so that these are written by
// other processes most of the time.
func TestConsumersShareThePartitions(t *testing.T) {
	s := stack.New(t, projectSchema)
	s.StartIngest()
	first, stopFirst := s.StartConsumerToAsk()
	s.StartMaterializer()
	shapes := manyShapes(s)
	apart := 0
	for _, sh := range shapes {
		for _, handle := range sh.Info().Subqueries {
			inner, err := s.Client.Open(t.Context(), handle)
			if err != nil {
				t.Fatal(err)
			}
			if inner.Info().Partition != sh.Info().Partition {
				apart++
			}
		}
	}
	if apart < 5 {
		t.Fatalf("%d shapes stand in another partition than their inner shape; the test needs more", apart)
	}
	s.Verify(shapes...)

	traffic, still := context.WithCancel(t.Context())
	over := make(chan struct{})
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	go func() {
		defer close(over)
		r := rand.New(rand.NewPCG(seed, 0))
		conn := s.Connect()
		for i := 0; traffic.Err() == nil; i++ {
			sql := []string{
				fmt.Sprintf("UPDATE projects SET active = NOT active WHERE id = %d", 1+r.IntN(10)),
				fmt.Sprintf("UPDATE projects SET owner = %d WHERE id = %d", r.IntN(3), 1+r.IntN(10)),
				fmt.Sprintf("UPDATE tasks SET done = NOT done, project_id = %d WHERE id = %d", 1+r.IntN(12), 1+r.IntN(200)),
				fmt.Sprintf("BEGIN; INSERT INTO tasks VALUES (%d, %d); UPDATE projects SET active = NOT active WHERE id = %d; COMMIT", 10_000+i, 1+r.IntN(12), 1+r.IntN(10)),
				fmt.Sprintf("DELETE FROM tasks WHERE id = %d", 10_000+r.IntN(i+1)),
			}[r.IntN(5)]
			if _, err := conn.Exec(context.Background(), sql); err != nil {
				t.Error(err)
				return
			}
			time.Sleep(2 * time.Millisecond)
		}
	}()
	await := func(what string, ok func() bool, of ...*consumer.Consumer) {
		t.Helper()
		s.Until(what, func() (bool, error) { return ok(), nil }, func() string {
			var all []consumer.Status
			for _, c := range of {
				all = append(all, c.Status())
			}
			return fmt.Sprintf("%+v", all)
		})
	}
	owned := func(c *consumer.Consumer) int64 { return c.Status().Owned }

	second, _ := s.StartConsumerToAsk()
	await("two share", func() bool { return owned(first) == 4 && owned(second) == 4 }, first, second)
	third, crashThird := s.StartConsumerToAskAndCrash()
	await("three share", func() bool { return owned(first)+owned(second)+owned(third) == 8 && owned(third) == 2 }, first, second, third)
	shapes = append(shapes, more(s, "three", 3)...)
	stopFirst()
	await("two go on", func() bool { return owned(second) == 4 && owned(third) == 4 }, second, third)
	crashThird()
	await("one goes on", func() bool { return owned(second) == 8 }, second)
	shapes = append(shapes, more(s, "one", 3)...)
	fourth, _ := s.StartConsumerToAsk()
	await("two share again", func() bool { return owned(second) == 4 && owned(fourth) == 4 }, second, fourth)
	still()
	<-over
	s.Verify(shapes...)
	for _, c := range []*consumer.Consumer{second, fourth} {
		if st := c.Status(); st.Retries > 0 {
			t.Errorf("a session ended in an error: %s", st.LastError)
		}
	}
}

// manyShapes are plain shapes and such with subqueries, all over the partitions.
func manyShapes(s *stack.Stack) (shapes []*client.Shape) {
	for i := range 4 {
		for _, where := range []string{
			fmt.Sprintf("id %% 4 = %d", i),
			fmt.Sprintf("id %% 4 = %d AND project_id IN (SELECT id FROM projects WHERE active)", i),
			fmt.Sprintf("project_id NOT IN (SELECT id FROM projects WHERE owner = %d)", i),
		} {
			shapes = append(shapes, s.Create(client.Definition{Table: "tasks", Where: where}))
		}
	}
	return shapes
}

// more makes shapes with subqueries while others are there.
func more(s *stack.Stack, name string, n int) (shapes []*client.Shape) {
	for i := range n {
		shapes = append(shapes, s.Create(client.Definition{Table: "tasks", Where: fmt.Sprintf("title <> '%s %d' AND project_id IN (SELECT id FROM projects WHERE active AND id > %d)", name, i, i)}))
	}
	return shapes
}
