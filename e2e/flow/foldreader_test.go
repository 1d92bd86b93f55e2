package flow

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/natsembed"
)

// TestAReaderIsInsideOfAGenerationThatGoes lets readers stop among the rows of a generation until these are removed, as two folds have come behind
// it. They are told to drop what they have of it, and read the newest one: nobody fetches again.
func TestAReaderIsInsideOfAGenerationThatGoes(t *testing.T) {
	for name, def := range foldable() {
		t.Run(name, func(t *testing.T) {
			s := stack.New(t, nestedSchema+"; INSERT INTO tasks SELECT i, 1 + i % 10, false, 'task ' || i FROM generate_series(1000, 3000) i")
			s.Consumer.FoldFactor, s.Consumer.FoldEvery, s.Consumer.FoldGrace = -1, 20*time.Millisecond, time.Millisecond
			s.Consumer.SnapshotBytes = 500
			s.StartIngest()
			s.StartConsumer()
			s.StartMaterializer()
			sh := s.Create(def)
			fold := func(number uint64) {
				t.Helper()
				s.Exec(fmt.Sprintf("UPDATE tasks SET title = 'round %d', project_id = 1 + (id + %[1]d) %% 10 WHERE id %% 3 = %[1]d %% 3", number))
				s.Settle(sh)
				if _, err := s.Client.Fold(t.Context(), sh.Handle()); err != nil {
					t.Fatal(err)
				}
				s.Await(sh, "it is folded", func(i control.Shape) bool { return i.Generation == number && i.Fold == nil })
			}
			fold(1)
			r := &reading{shape: sh}
			var begun, rows int
			for e, err := range sh.Subscribe(client.Beginning(), client.Options{Buffer: 1, Patience: 100 * time.Millisecond}).Events(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				switch e := e.(type) {
				case client.Begin:
					begun++
					r.begin(e.Snapshot)
				case client.Abort:
					r.abort()
				case client.Change:
					if err := r.apply(e); err != nil {
						t.Fatal(err)
					}
					if rows++; rows == 20 {
						fold(2)
						fold(3)
						s.Until("the rows are removed", func() (bool, error) { return oneSegment(s, sh), nil }, func() string { return "they are there" })
					}
				case client.Commit:
					if begun < 2 {
						t.Fatal("it read all of a generation that is gone")
					}
				}
				if c, ok := e.(client.Commit); ok && c.Offset == sh.Info().Offset || ok && begun > 1 {
					break
				}
			}
			if state := s.Verify(sh)[0]; len(state.Rows) != len(r.rows) {
				t.Errorf("it has %d rows of %d", len(r.rows), len(state.Rows))
			}
		})
	}
}

// TestLogsOfLargeRowsAreFolded folds logs all the time whose messages are in parts, as their rows are larger than a message may be.
func TestLogsOfLargeRowsAreFolded(t *testing.T) {
	server, err := natsembed.Start(natsembed.Options{Dir: t.TempDir(), MaxPayload: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	s := stack.WithNATS(t, nestedSchema+"; CREATE TABLE notes (n int, txt text)", server)
	foldOften(s)
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	shapes := []*client.Shape{
		s.Create(client.Definition{Table: "tasks", Where: "project_id < 1000"}),
		s.Create(client.Definition{Table: "tasks", Where: ofProjects}),
		s.Create(client.Definition{Table: "notes"}),
	}
	var stops []func() int
	for _, sh := range shapes {
		stops = append(stops, readers(s, sh, 1))
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 4 {
		for range 4 {
			s.Exec(fmt.Sprintf(`INSERT INTO notes VALUES (%[1]d, repeat('n', %[2]d)), (%[1]d, repeat('n', %[2]d)); DELETE FROM notes WHERE n = %[3]d;
				UPDATE tasks SET title = repeat('t', %[4]d) WHERE id IN (%[5]d, %[6]d); UPDATE tasks SET project_id = 1 + id %% 9 WHERE id = %[5]d;
				UPDATE projects SET active = NOT active WHERE id = %[7]d`,
				rnd.IntN(5), rnd.IntN(200<<10), rnd.IntN(5), rnd.IntN(300<<10), 1+rnd.IntN(20), 1+rnd.IntN(20), 1+rnd.IntN(10)))
			s.Settle(shapes...)
		}
		for _, sh := range shapes {
			from := generationOf(s, sh)
			if _, err := s.Client.Fold(t.Context(), sh.Handle()); err != nil {
				t.Fatal(err)
			}
			s.Await(sh, "it is folded", func(i control.Shape) bool { return i.Generation > from && i.Fold == nil })
		}
		s.Verify(shapes...)
	}
	for _, stop := range stops {
		stop()
	}
}

// TestAFoldTellsHowFarItIs looks at a shape while its log is folded.
func TestAFoldTellsHowFarItIs(t *testing.T) {
	for name, def := range foldable() {
		t.Run(name, func(t *testing.T) {
			s := stack.New(t, nestedSchema+"; INSERT INTO tasks SELECT i, 1 + i % 10, false, 'task ' || i FROM generate_series(1000, 9000) i")
			s.Consumer.FoldFactor, s.Consumer.FoldEvery = -1, 20*time.Millisecond
			s.Consumer.SnapshotBytes = 200
			next, done := make(chan struct{}), make(chan struct{})
			s.Consumer.Failpoint = func(p failpoint.Point) {
				if p == failpoint.FoldRow {
					select {
					case <-next:
					case <-done:
					}
				}
			}
			s.StartIngest()
			s.StartConsumer()
			s.StartMaterializer()
			sh := s.Create(def)
			s.Exec("UPDATE projects SET active = NOT active; UPDATE tasks SET title = 'other'")
			before := s.Verify(sh)[0]
			asked, err := s.Client.Fold(t.Context(), sh.Handle())
			if err != nil || asked.Fold == nil || asked.Fold.Asked == nil {
				t.Fatalf("what is told of the fold that was asked for is %+v (%v)", asked.Fold, err)
			}
			var now control.Shape
			s.Until("it is told how many rows have been read", func() (_ bool, err error) {
				select {
				case next <- struct{}{}:
				case <-time.After(10 * time.Millisecond):
				}
				now, err = sh.Refresh(t.Context())
				return err == nil && now.Fold != nil && now.Fold.Rows > 0, err
			}, func() string { return fmt.Sprintf("%+v", now.Fold) })
			if f := now.Fold; f.Asked == nil || f.Began == nil || f.Rows >= int64(len(before.Rows)) || now.Generation != 0 || now.Folded != nil {
				t.Errorf("what is told of the fold is %+v of generation %d", f, now.Generation)
			}
			close(done)
			now = s.Await(sh, "it is folded", func(i control.Shape) bool { return i.Generation == 1 && i.Fold == nil })
			if now.Folded == nil || now.SinceBytes >= now.LogBytes || now.LogBytes <= 0 {
				t.Errorf("it was folded at %v, and has grown by %d of %d bytes since", now.Folded, now.SinceBytes, now.LogBytes)
			}
			// Also where a unit has left their number open.
			s.Await(sh, "its rows are counted", func(i control.Shape) bool { return i.Rows == int64(len(before.Rows)) })
		})
	}
}
