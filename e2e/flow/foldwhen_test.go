package flow

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// TestLogsAreNotFoldedWhileTheChangeLogIsNearlyFull asks for a fold beside a change log without room, which waits and says so.
func TestLogsAreNotFoldedWhileTheChangeLogIsNearlyFull(t *testing.T) {
	s := stack.New(t, tasks)
	s.Consumer.FoldEvery, s.Consumer.SyncInterval = 20*time.Millisecond, time.Hour // nothing is trimmed
	s.StartIngest()
	s.StartConsumer()
	sh := s.Create(client.Definition{Table: "tasks"})
	s.Exec("UPDATE tasks SET title = 'other'")
	s.Verify(sh)
	st, err := s.JS.Stream(t.Context(), s.Source.ChangeStream())
	if err != nil {
		t.Fatal(err)
	}
	limit := func(bytes int64) {
		t.Helper()
		cfg := st.CachedInfo().Config
		cfg.MaxBytes = bytes
		if _, err := s.JS.UpdateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	limit(int64(st.CachedInfo().State.Bytes) * 5 / 4)
	if _, err := s.Client.Fold(t.Context(), sh.Handle()); err != nil {
		t.Fatal(err)
	}
	info := s.Await(sh, "the fold waits", func(i control.Shape) bool { return i.Fold != nil && i.Fold.Error != "" })
	if want := "the change log is nearly full; logs are folded when it is not"; info.Fold.Error != want || info.Fold.Asked == nil || info.Generation != 0 {
		t.Errorf("the fold is %+v, want that it waits because %s", *info.Fold, want)
	}
	limit(-1)
	s.Await(sh, "it is folded", func(i control.Shape) bool { return i.Generation == 1 && i.Fold == nil })
	s.Verify(sh)
}

// TestSoManyLogsAreFoldedAtOnce asks for more folds than may be done at once, each of which is held up.
func TestSoManyLogsAreFoldedAtOnce(t *testing.T) {
	s := stack.New(t, tasks)
	s.Consumer.FoldEvery, s.Consumer.Folds = 20*time.Millisecond, 2
	var mu sync.Mutex
	now, most := 0, 0
	release := make(chan struct{})
	s.Consumer.Failpoint = func(p failpoint.Point) {
		mu.Lock()
		defer mu.Unlock()
		if p == failpoint.FoldBegun {
			now++
			most = max(most, now)
			mu.Unlock()
			<-release
			mu.Lock()
		}
		if p == failpoint.FoldStored {
			now--
		}
	}
	s.StartIngest()
	s.StartConsumer()
	var shapes []*client.Shape
	for i := range 5 {
		shapes = append(shapes, s.Create(client.Definition{Table: "tasks", Where: fmt.Sprintf("id <> %d", i+1)}))
	}
	s.Exec("UPDATE tasks SET title = 'other'")
	s.Verify(shapes...)
	for _, sh := range shapes {
		if _, err := s.Client.Fold(t.Context(), sh.Handle()); err != nil {
			t.Fatal(err)
		}
	}
	s.Until("two are being folded", func() (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		return now == 2, nil
	}, func() string { return fmt.Sprint(now) })
	s.Exec("UPDATE tasks SET title = 'meanwhile'")
	s.Settle(shapes...) // a fold that is held up holds up nothing
	close(release)
	for _, sh := range shapes {
		s.Await(sh, "it is folded", func(i control.Shape) bool { return i.Generation == 1 })
	}
	if most != 2 {
		t.Errorf("%d were folded at once", most)
	}
	s.Verify(shapes...)
}

// TestAFoldThatIsAskedForWhileAnotherEndsIsDone asks when the generation of the fold before is stored, and the record does not say so
// yet.
func TestAFoldThatIsAskedForWhileAnotherEndsIsDone(t *testing.T) {
	s := stack.New(t, tasks)
	s.Consumer.FoldEvery, s.Consumer.FoldGrace = 20*time.Millisecond, time.Millisecond
	stored, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.Consumer.Failpoint = func(p failpoint.Point) {
		if p == failpoint.FoldStored {
			once.Do(func() { close(stored); <-release })
		}
	}
	s.StartIngest()
	s.StartConsumer()
	sh := s.Create(client.Definition{Table: "tasks"})
	s.Exec("UPDATE tasks SET title = 'other'")
	s.Verify(sh)
	for range 2 {
		if _, err := s.Client.Fold(t.Context(), sh.Handle()); err != nil {
			t.Fatal(err)
		}
		<-stored
	}
	close(release)
	s.Await(sh, "it is folded twice", func(i control.Shape) bool { return i.Generation == 2 && i.Fold == nil })
}
