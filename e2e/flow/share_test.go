package flow

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
)

// TestConsumersShareThePartitions has consumers come, leave softly and die while there is traffic. Shapes with
// subqueries stand in other partitions than the shapes that they select from, so that these are written by
// other processes most of the time.
func TestConsumersShareThePartitions(t *testing.T) {
	t.Parallel()
	s := stack.New(t, projectSchema)
	s.StartIngest()
	first := s.StartMember()
	s.StartMaterializer()
	shapes := manyShapes(s)
	apart := 0
	for _, sh := range shapes {
		for _, handle := range sh.Info().Subqueries {
			inner, err := s.Client.Open(t.Context(), handle)
			if err != nil {
				t.Fatal(err)
			}
			switch nested := len(inner.Info().Subqueries) > 0; {
			case inner.Info().Partition == sh.Info().Partition:
			case nested:
				t.Errorf("shape %s is in partition %d, and the one that it selects from, which has a subquery itself, in %d", sh.Handle(), sh.Info().Partition, inner.Info().Partition)
			default:
				apart++
			}
		}
	}
	if apart < 5 {
		t.Fatalf("%d shapes stand in another partition than their inner shape; the test needs more", apart)
	}
	s.Verify(shapes...)

	still := projectTraffic(s, 2*time.Millisecond)
	// await waits until the members have all partitions between them, each as many as said; -1 is any number.
	type share struct {
		m *stack.Member
		n int64
	}
	await := func(what string, shares ...share) {
		t.Helper()
		state := ""
		s.Until(what, func() (bool, error) {
			good, sum := true, int64(0)
			state = ""
			for _, w := range shares {
				n := w.m.Owned()
				good = good && (w.n == -1 || w.n == n)
				sum += n
				state += fmt.Sprint(n, " ")
			}
			return good && sum == 8, nil
		}, func() string { return state })
	}
	second := s.StartMember()
	await("two share", share{first, 4}, share{second, 4})
	third := s.StartMember()
	await("three share", share{first, -1}, share{second, -1}, share{third, 2})
	shapes = append(shapes, more(s, "three", 3)...)
	first.Stop()
	await("two go on", share{second, 4}, share{third, 4})
	third.Crash()
	await("one goes on", share{second, 8})
	shapes = append(shapes, more(s, "one", 3)...)
	fourth := s.StartMember()
	await("two share again", share{second, 4}, share{fourth, 4})
	still()
	s.Verify(shapes...)
	for _, m := range []*stack.Member{second, fourth} {
		if text := m.Trouble(); text != "" {
			t.Errorf("there was trouble: %s", text)
		}
	}
}

// projectTraffic changes projects and tasks again and again, until stop.
func projectTraffic(s *stack.Stack, every time.Duration) (stop func()) {
	traffic, still := context.WithCancel(s.TB.Context())
	over := make(chan struct{})
	seed := rand.Uint64()
	s.TB.Logf("seed %d", seed)
	conn := s.Connect()
	go func() {
		defer close(over)
		r := rand.New(rand.NewPCG(seed, 0))
		pace := time.NewTicker(every)
		defer pace.Stop()
		for i := 0; traffic.Err() == nil; i++ {
			<-pace.C
			sql := []string{
				fmt.Sprintf("UPDATE projects SET active = NOT active WHERE id = %d", 1+r.IntN(10)),
				fmt.Sprintf("UPDATE projects SET owner = %d WHERE id = %d", r.IntN(3), 1+r.IntN(10)),
				fmt.Sprintf("UPDATE tasks SET done = NOT done, project_id = %d WHERE id = %d", 1+r.IntN(12), 1+r.IntN(200)),
				fmt.Sprintf("BEGIN; INSERT INTO tasks VALUES (%d, %d); UPDATE projects SET active = NOT active WHERE id = %d; COMMIT", 10_000+i, 1+r.IntN(12), 1+r.IntN(10)),
				fmt.Sprintf("DELETE FROM tasks WHERE id = %d", 10_000+r.IntN(i+1)),
			}[r.IntN(5)]
			if _, err := conn.Exec(context.WithoutCancel(traffic), sql); err != nil {
				s.TB.Error(err)
				return
			}
		}
	}()
	return func() {
		still()
		<-over
	}
}

// manyShapes are plain shapes and such with subqueries, some nested, all over the partitions.
func manyShapes(s *stack.Stack) (shapes []*client.Shape) {
	for i := range 3 {
		shapes = append(shapes, s.Create(client.Definition{
			Table: "tasks", Where: fmt.Sprintf("title <> 'nested %d' AND project_id IN (SELECT id FROM projects WHERE owner IN (SELECT id FROM projects WHERE active AND id < %d))", i, 3+i),
		}))
	}
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
