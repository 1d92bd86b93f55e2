package flow

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/shape"
)

// grow gives the stack's source more partitions, as shapebus source set does.
func grow(s *stack.Stack, partitions int) {
	s.TB.Helper()
	shapes, err := registry.OpenShapes(s.TB.Context(), s.JS, s.Source)
	if err != nil {
		s.TB.Fatal(err)
	}
	if _, _, err := shapes.Grow(s.TB.Context(), s.Source, partitions, failpoint.Never); err != nil {
		s.TB.Fatal(err)
	}
}

// awaitOwned waits until each of the members has so many partitions.
func awaitOwned(s *stack.Stack, want int64, members ...*stack.Member) {
	s.TB.Helper()
	state := ""
	s.Until(fmt.Sprintf("each consumer has %d partitions", want), func() (bool, error) {
		all := true
		state = ""
		for _, m := range members {
			all = all && m.Owned() == want
			state += fmt.Sprint(m.Owned(), " ")
		}
		return all, nil
	}, func() string { return state })
}

// TestASourceGrowsUnderTraffic: consumers, the materializer and a reader notice while they run, shapes stay where they are, and new ones
// come to the new partitions, also such whose inner shape, or whose chain, is in an old one.
func TestASourceGrowsUnderTraffic(t *testing.T) {
	s := stack.New(t, projectSchema)
	s.Consumer.Partitions = 2
	s.StartIngest()
	first := s.StartMember()
	second := s.StartMember()
	mat := s.StartMaterializerService()
	old := manyShapes(s)
	awaitOwned(s, 1, first, second)
	reader := old[0].Subscribe(client.Beginning(), client.Options{})
	var read atomic.Int64
	ended := make(chan error, 1)
	go func() {
		for event, err := range reader.Events(t.Context()) {
			if err != nil {
				ended <- err
				return
			}
			if _, ok := event.(client.Commit); ok {
				read.Add(1)
			}
		}
		ended <- nil
	}()
	still := projectTraffic(s, 20*time.Millisecond)

	grow(s, 8)
	awaitOwned(s, 4, first, second)
	s.Until("the materializer has all partitions", func() (bool, error) { return mat.Status().Partitions == 8, nil }, func() string { return fmt.Sprintf("%+v", mat.Status()) })
	if status, err := s.Client.Status(t.Context()); err != nil || status.Partitions != 8 || len(status.Owners) != 8 {
		t.Errorf("the status is %+v, %v", status, err)
	}
	where := map[string]int{}
	for _, sh := range old {
		info, err := sh.Refresh(t.Context())
		if err != nil || info.Partition > 1 || info.Handle != sh.Handle() || info.State != control.StateLive {
			t.Errorf("a shape of before is %+v now, %v", info, err)
		}
		where[info.Handle] = info.Partition
	}
	for i, again := range manyShapes(s) {
		if again.Handle() != old[i].Handle() || again.Info().Partition != where[again.Handle()] {
			t.Errorf("asked for again, it is %+v", again.Info())
		}
	}

	// They are made beside the traffic, and waited for behind it.
	ask := func(where string) *client.Shape {
		sh, err := s.Client.Create(t.Context(), client.Definition{Table: "tasks", Where: where})
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		return sh
	}
	var young, nested []*client.Shape
	for i := range 3 {
		young = append(young,
			ask(fmt.Sprintf("project_id IN (SELECT id FROM projects WHERE active AND id > %d)", i)),
			ask(fmt.Sprintf("title <> 'apart %d' AND project_id IN (SELECT id FROM projects WHERE active)", i)), // on one of before
			ask(fmt.Sprintf("title <> 'apart too %d' AND project_id IN (SELECT id FROM projects WHERE active)", i)),
			ask(fmt.Sprintf("id %% 3 = %d", i)))
		nested = append(nested, ask(fmt.Sprintf("title <> 'young %d' AND project_id IN (SELECT id FROM projects WHERE owner IN (SELECT id FROM projects WHERE active AND id < %d))", i, 4+i)))
	}
	spread, apart := map[int]bool{}, 0
	for _, sh := range young {
		in := sh.Info().Partition
		spread[in] = true
		for _, handle := range sh.Info().Subqueries {
			if inner := partitionOf(s, handle); in > 1 && inner < 2 {
				apart++
			}
		}
	}
	if len(spread) < 3 || apart < 1 {
		t.Errorf("new shapes are in partitions %v; %d of those in new ones select from an inner shape in an old one", spread, apart)
	}
	for _, sh := range nested {
		for _, handle := range sh.Info().Subqueries {
			if inner, err := s.Client.Open(t.Context(), handle); err != nil || len(inner.Info().Subqueries) > 0 && inner.Info().Partition != sh.Info().Partition {
				t.Errorf("shape %s is in partition %d, and the chain that it selects from in %+v, %v", sh.Handle(), sh.Info().Partition, inner.Info(), err)
			}
		}
	}
	all := append(append(old, young...), nested...)

	t.Log("one that is told of as few partitions as there were, and one that goes")
	third := s.StartMember()
	awaitOwned(s, 3, first, second)
	first.Crash()
	awaitOwned(s, 4, second, third)
	before := read.Load()
	s.Until("the reader goes on", func() (bool, error) { return read.Load() > before, nil }, func() string { return fmt.Sprint(read.Load()) })
	still()
	s.Verify(all...)
	select {
	case err := <-ended:
		t.Errorf("the reader has ended: %v", err)
	default:
	}
	for _, m := range []*stack.Member{second, third} {
		if text := m.Trouble(); text != "" {
			t.Errorf("there was trouble: %s", text)
		}
	}

	t.Log("it does not shrink")
	shapes, err := registry.OpenShapes(t.Context(), s.JS, s.Source)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := shapes.Grow(t.Context(), s.Source, 7, failpoint.Never); !errors.Is(err, registry.ErrShrink) {
		t.Errorf("%v", err)
	}
}

func partitionOf(s *stack.Stack, handle string) int {
	s.TB.Helper()
	sh, err := s.Client.Open(s.TB.Context(), handle)
	if err != nil {
		s.TB.Fatal(err)
	}
	return sh.Info().Partition
}

// TestAShapeThatIsMadeAgainComesToANewPartition: its next incarnation may be elsewhere, with a handle of its own, and the last word of the one
// before stays where that was.
func TestAShapeThatIsMadeAgainComesToANewPartition(t *testing.T) {
	s := stack.New(t, "CREATE TABLE tasks (id int PRIMARY KEY, title text); INSERT INTO tasks SELECT i, 'title' FROM generate_series(1, 100) i")
	s.Consumer.Partitions = 1
	s.StartIngest()
	s.StartMember()
	const partitions = 8
	var defs []client.Definition
	var before []*client.Shape
	for i := range 6 {
		defs = append(defs, client.Definition{Table: "tasks", Columns: []string{"id"}, Where: fmt.Sprintf("id > %d", i)})
		before = append(before, s.Create(defs[i]))
	}
	grow(s, partitions)
	s.Exec("ALTER TABLE tasks DROP COLUMN title; INSERT INTO tasks VALUES (1000)")
	for _, sh := range before {
		s.Until("it has ended", func() (bool, error) {
			info, err := sh.Refresh(t.Context())
			return info.State == control.StateEnded, err
		}, func() string { return sh.Handle() })
	}
	moved := 0
	for i, def := range defs {
		now := s.Create(def)
		if want := shape.Partition(now.Info().ID, partitions); now.Info().Partition != want || now.Handle() == before[i].Handle() {
			t.Errorf("%+v, want partition %d", now.Info(), want)
		}
		if now.Info().Partition > 0 {
			moved++
		}
		s.Verify(now)
		for _, err := range before[i].Subscribe(client.Beginning(), client.Options{}).Events(t.Context()) {
			if err == nil {
				continue
			}
			if _, over := errors.AsType[*client.MustRefetchError](err); !over {
				t.Errorf("a reader of the incarnation before ends with: %v", err)
			}
			break
		}
	}
	if moved < 3 {
		t.Errorf("%d of %d are in a new partition", moved, len(defs))
	}
}
