package flow

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

// pace is the least time between two transactions of one who writes all the time: on a machine that has little time for those who read,
// they would come to the end of nothing otherwise.
const pace = 4 * time.Millisecond

// changing changes all tables of nestedSchema all the time, in small transactions of several connections, until stop: what is
// selected comes and goes, with a pause between them, and commits become visible in other orders than they are in the log.
func changing(s *stack.Stack, n int, pause time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var w sync.WaitGroup
	for range n {
		conn := s.Connect()
		seed := rand.Uint64()
		s.TB.Logf("seed %d", seed)
		rnd := rand.New(rand.NewPCG(seed, 0))
		w.Go(func() {
			for ; ctx.Err() == nil; time.Sleep(pause) {
				sql := "BEGIN;"
				for range 1 + rnd.IntN(3) {
					id := 1 + rnd.IntN(200)
					switch rnd.IntN(12) {
					case 0:
						sql += fmt.Sprintf("UPDATE projects SET active = NOT active WHERE id = %d;", 1+id%10)
					case 1:
						sql += fmt.Sprintf("DELETE FROM tasks WHERE id = %d;", id)
					case 2, 3:
						sql += fmt.Sprintf("INSERT INTO tasks VALUES (%[1]d, %[2]d) ON CONFLICT (id) DO UPDATE SET project_id = excluded.project_id;", id, rnd.IntN(12))
					case 4:
						sql += fmt.Sprintf("UPDATE comments SET task_id = %d WHERE id = %d;", rnd.IntN(200), id)
					case 5:
						sql += fmt.Sprintf("UPDATE comments SET text = text || '.' WHERE id %% 50 = %d;", id%50)
					default:
						sql += fmt.Sprintf("UPDATE tasks SET title = 'title %d' WHERE id = %d;", rnd.IntN(1000), id)
					}
				}
				if _, err := conn.PgConn().Exec(context.WithoutCancel(ctx), sql+"COMMIT").ReadAll(); err != nil && conn.PgConn().TxStatus() == 'E' {
					_, _ = conn.PgConn().Exec(context.WithoutCancel(ctx), "ROLLBACK").ReadAll() // a deadlock
				}
			}
		})
	}
	stop = sync.OnceFunc(func() {
		cancel()
		w.Wait()
	})
	s.TB.Cleanup(stop)
	return stop
}

// TestShapesWithSubqueriesAreFolded folds the logs of shapes with subqueries all the time, the last of a chain among them, while what
// they select changes, and readers begin, stop and go on anywhere.
func TestShapesWithSubqueriesAreFolded(t *testing.T) {
	s := stack.New(t, nestedSchema)
	foldOften(s)
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	shapes := []*client.Shape{
		s.Create(client.Definition{Table: "tasks", Where: ofProjects}),
		s.Create(client.Definition{Table: "tasks", Columns: []string{"id", "title"}, Where: "NOT done AND project_id NOT IN (SELECT id FROM projects WHERE active)"}),
		s.Create(client.Definition{Table: "comments", Where: ofTasks}),
	}
	stopWriting := changing(s, 2, pace)
	var stops []func() int
	for _, sh := range shapes {
		stops = append(stops, readers(s, sh, 1))
	}
	for range 3 {
		for _, sh := range shapes {
			awaitFolds(s, sh, 1)
		}
	}
	stopWriting()
	for _, stop := range stops {
		stop()
	}
	for i, st := range s.Verify(shapes...) {
		t.Logf("shape %d: generation %d, %d messages left", i, st.Generation.Number, st.Messages)
	}
}

// TestAShapeWithSubqueriesIsFoldedWhileItGoesOn holds a fold up while the shape goes through units and on: its generation is the shape
// as it was when the fold began, and what has come since stands behind it.
func TestAShapeWithSubqueriesIsFoldedWhileItGoesOn(t *testing.T) {
	s := stack.New(t, nestedSchema)
	foldOften(s)
	s.Consumer.FoldFactor = -1
	begun, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.Consumer.Failpoint = func(p failpoint.Point) {
		if p == failpoint.FoldBegun {
			once.Do(func() { close(begun); <-release })
		}
	}
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	sh := s.Create(client.Definition{Table: "comments", Where: ofTasks})
	s.Exec("UPDATE projects SET active = NOT active WHERE id < 5; UPDATE comments SET text = 'before'")
	before := len(s.Verify(sh)[0].Rows)
	if _, err := s.Client.Fold(t.Context(), sh.Handle()); err != nil {
		t.Fatal(err)
	}
	<-begun
	for i := range 3 {
		s.Exec(fmt.Sprintf("UPDATE projects SET active = id %% 3 = %d", i))
		s.Exec(fmt.Sprintf("UPDATE comments SET text = 'meanwhile', task_id = task_id + 1 WHERE id %% 3 = %d; DELETE FROM tasks WHERE id = %d", i, i+20))
		s.Settle(sh) // a fold that is held up holds up nothing
	}
	close(release)
	info := s.Await(sh, "it is folded", func(i control.Shape) bool { return i.Generation == 1 && i.Fold == nil })
	if info.SinceBytes == 0 || info.SinceBytes >= info.LogBytes {
		t.Errorf("%d of %d bytes are behind the generation", info.SinceBytes, info.LogBytes)
	}
	st := s.Verify(sh)[0]
	if int(st.Generation.Rows) != before {
		t.Errorf("the generation has %d rows, the shape had %d when the fold began", st.Generation.Rows, before)
	}
	view := sh.View(client.ViewOptions{})
	defer view.Close()
	s.Until("a reader that begins has the rows of now", func() (bool, error) { return view.Len() == len(st.Rows), view.Err() },
		func() string { return fmt.Sprint(view.Len(), len(st.Rows)) })
}

// TestAFoldDoesNotHoldUpAShapeWithSubqueries asks for a fold while a commit is in the log that no snapshot sees, as its standby is away. A unit
// waits until one sees it, for hours perhaps; a fold's unit must not: nothing needs it. When the commit is seen, the log is folded.
func TestAFoldDoesNotHoldUpAShapeWithSubqueries(t *testing.T) {
	server := pgtest.Own(t, map[string]string{"synchronous_standby_names": "nobody", "synchronous_commit": "local"})
	if err := server.CreateDatabase(t.Context(), "folds"); err != nil {
		t.Fatal(err)
	}
	s := stack.On(t, server.URL("folds"), nestedSchema)
	foldOften(s)
	s.Consumer.FoldFactor = -1
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	sh := s.Create(client.Definition{Table: "comments", Where: ofTasks})
	s.Exec("UPDATE projects SET active = NOT active WHERE id < 5; UPDATE comments SET text = 'before'")
	s.Verify(sh)
	waits, done := commitUnseen(s, "UPDATE comments SET text = 'in the log, and no snapshot sees it' WHERE id < 100")
	s.Exec("UPDATE comments SET text = 'behind it' WHERE id > 400")
	s.Settle(sh)
	if _, err := s.Client.Fold(t.Context(), sh.Handle()); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		s.Exec(fmt.Sprintf("UPDATE comments SET text = 'meanwhile %d' WHERE id > 300", i))
		s.Settle(sh)
	}
	if n := generationOf(s, sh); n != 0 {
		t.Errorf("generation %d is of a snapshot that does not see all that the log has", n)
	}
	s.Exec("SELECT pg_cancel_backend($1)", waits) // the commit stands; only the wait ends
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s.Await(sh, "it is folded", func(i control.Shape) bool { return i.Generation == 1 && i.Fold == nil })
	s.Verify(sh)
}
