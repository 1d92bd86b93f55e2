package flow

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/logcheck"
	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

// foldOften has logs folded all the time, and what a fold replaces removed at once.
func foldOften(s *stack.Stack) {
	s.Consumer.FoldFactor, s.Consumer.FoldLeast, s.Consumer.FoldEvery, s.Consumer.FoldGrace = 0.1, 1, 20*time.Millisecond, time.Millisecond
}

// generationOf is the number of a shape's newest generation.
func generationOf(s *stack.Stack, sh *client.Shape) uint64 {
	g, err := logcheck.Generation(s.TB.Context(), s.JS, s.Source, sh.Info())
	if err != nil {
		s.TB.Fatal(err)
	}
	if g == nil {
		return 0
	}
	return g.Number
}

// awaitFolds waits until a shape has been folded so many times more.
func awaitFolds(s *stack.Stack, sh *client.Shape, more uint64) {
	s.TB.Helper()
	from := generationOf(s, sh)
	s.Until(fmt.Sprintf("%d folds of %s", more, sh.Handle()), func() (bool, error) { return generationOf(s, sh) >= from+more, nil },
		func() string { return fmt.Sprintf("generation %d", generationOf(s, sh)) })
}

// awaitFoldsOr is awaitFolds for a reader that is stopped meanwhile.
func awaitFoldsOr(ctx context.Context, s *stack.Stack, sh *client.Shape, more uint64) {
	now := func() uint64 { return generationOf(s, sh) } //nolint:contextcheck // that of the test
	for from := now(); ctx.Err() == nil && now() < from+more; {
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// moments are what readers of one shape held at its markers: all have to agree.
type moments struct {
	mu sync.Mutex
	at map[client.Offset]uint64 // a digest of the rows
}

// reading holds a shape's rows as a reader has them.
type reading struct {
	shape *client.Shape
	rows  map[string][]string // by key
	was   map[string][]string // before the open transaction, of what it changed
	all   bool                // was is all rows
}

func (r *reading) begin(again bool) {
	r.was, r.all = map[string][]string{}, false
	if again {
		r.was, r.rows, r.all = r.rows, map[string][]string{}, true
	}
}

func (r *reading) abort() {
	if r.all {
		r.rows = r.was
	}
	for k, rows := range r.was {
		if r.rows[k] = rows; len(rows) == 0 {
			delete(r.rows, k)
		}
	}
	r.was, r.all = map[string][]string{}, false
}

func (r *reading) apply(c client.Change) error {
	if c.Kind == change.Truncate {
		for k, rows := range r.rows {
			if _, ok := r.was[k]; !ok && !r.all {
				r.was[k] = rows
			}
		}
		r.rows = map[string][]string{}
		return nil
	}
	key, text := "", ""
	for i := range c.Row.Len() {
		v := fmt.Sprintf("%q %t,", c.Row.At(i), c.Row.At(i) == nil)
		if text += v; c.Row.Column(i).Key {
			key += v
		}
	}
	have := r.rows[key]
	if _, ok := r.was[key]; !ok && !r.all {
		r.was[key] = have
	}
	switch {
	case c.Kind == change.Insert && (len(have) == 0 || !r.shape.Info().HasKey):
		r.rows[key] = append(slices.Clip(have), text)
	case c.Kind == change.Update && len(have) == 1, c.Kind == change.Upsert:
		r.rows[key] = []string{text}
	case c.Kind == change.Discard:
		delete(r.rows, key)
	case c.Kind == change.Delete && len(have) > 0:
		r.rows[key] = slices.Clip(have[:len(have)-1])
		if len(have) == 1 {
			delete(r.rows, key)
		}
	default:
		return fmt.Errorf("%s of %s, which is there %d times", c.Kind, key, len(have))
	}
	return nil
}

func (r *reading) digest() (sum uint64) {
	for _, rows := range r.rows {
		for _, row := range rows {
			h := fnv.New64a()
			_, _ = h.Write([]byte(row))
			sum += h.Sum64()
		}
	}
	return sum
}

// read reads from a position until it has seen so many commits, or ctx ends, and notes what it held at each.
func (m *moments) read(ctx context.Context, r *reading, from client.Position, commits int) (client.Position, error) {
	sub := r.shape.Subscribe(from, client.Options{Recheck: 200 * time.Millisecond})
	for e, err := range sub.Events(ctx) {
		if err != nil {
			return sub.Position(), err
		}
		switch e := e.(type) {
		case client.Begin:
			r.begin(e.Snapshot)
		case client.Abort:
			r.abort()
		case client.Change:
			if err := r.apply(e); err != nil {
				return sub.Position(), fmt.Errorf("behind %s, at %s: %w", sub.Position(), e.Offset, err)
			}
		case client.Commit:
			r.was, r.all = map[string][]string{}, false
			if err := m.note(e, r.digest()); err != nil {
				return sub.Position(), err
			}
			if commits--; commits == 0 {
				return e.Position(), nil
			}
		}
	}
	return sub.Position(), nil
}

func (m *moments) note(c client.Commit, digest uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	was, ok := m.at[c.Offset]
	if m.at[c.Offset] = digest; ok && was != digest {
		return fmt.Errorf("at %s a reader holds other rows than another one (snapshot: %t)", c.Offset, c.Snapshot)
	}
	return nil
}

// readers follow a shape in all ways until stop is called: one without a break, others that stop anywhere and go on from what they
// kept or from the beginning. again is how often a position that was kept was gone.
func readers(s *stack.Stack, sh *client.Shape, restless int) (stop func() (again int)) {
	m := &moments{at: map[client.Offset]uint64{}}
	ctx, cancel := context.WithCancel(s.TB.Context())
	var wg sync.WaitGroup
	var mu sync.Mutex
	again := 0
	wg.Go(func() {
		if _, err := m.read(ctx, &reading{shape: sh}, client.Beginning(), -1); err != nil && ctx.Err() == nil {
			s.TB.Errorf("shape %s, the reader that follows: %v", sh.Handle(), err)
		}
	})
	for i := range restless {
		seed := rand.Uint64()
		rnd := rand.New(rand.NewPCG(seed, 0))
		wg.Go(func() {
			at, r := client.Beginning(), &reading{shape: sh}
			for ; ctx.Err() == nil; time.Sleep(pace) {
				if rnd.IntN(3) == 0 {
					at, r = client.Beginning(), &reading{shape: sh}
				}
				var err error
				if at, err = m.read(ctx, r, at, 1+rnd.IntN(20)); err == nil {
					r.abort()
					if rnd.IntN(4) == 0 { // so that what was kept may go
						awaitFoldsOr(ctx, s, sh, 2)
					}
					continue
				}
				gone, ok := errors.AsType[*client.MustRefetchError](err)
				switch {
				case ctx.Err() != nil:
				case ok && gone.Again:
					mu.Lock()
					again++
					mu.Unlock()
					at, r = client.Beginning(), &reading{shape: sh}
				default:
					s.TB.Errorf("shape %s, restless reader %d (seed %d): %v", sh.Handle(), i, seed, err)
					return
				}
			}
		})
	}
	return func() int { cancel(); wg.Wait(); return again }
}

// TestReadersOfLogsThatAreFoldedSeeTheSame folds logs all the time under writers, while readers begin, stop and go on anywhere.
func TestReadersOfLogsThatAreFoldedSeeTheSame(t *testing.T) {
	s := stack.New(t, tasks+`CREATE TABLE notes (n int, txt text);`)
	foldOften(s)
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	shapes := []*client.Shape{
		s.Create(client.Definition{Table: "tasks"}),
		s.Create(client.Definition{Table: "tasks", Columns: []string{"id", "owner"}, Where: "owner = 1"}),
		s.Create(client.Definition{Table: "notes"}),
	}
	view := shapes[0].View(client.ViewOptions{})
	defer view.Close()
	stopWriting := writers(s, 2, "")
	notes := s.Connect()
	ctx, cancel := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			time.Sleep(pace)
			sql := fmt.Sprintf("INSERT INTO notes SELECT i %% 7, 'x' FROM generate_series(1, %d) i; DELETE FROM notes WHERE n = %d", i%9, i%11)
			if i%97 == 0 {
				sql = "TRUNCATE notes"
			}
			if _, err := notes.PgConn().Exec(ctx, sql).ReadAll(); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	})
	var stops []func() int
	for _, sh := range shapes {
		stops = append(stops, readers(s, sh, 2))
	}
	for range 4 {
		for _, sh := range shapes {
			awaitFolds(s, sh, 1)
		}
	}
	stopWriting()
	cancel()
	writing.Wait()
	again := 0
	for _, stop := range stops {
		again += stop()
	}
	states := s.Verify(shapes...)
	for i, st := range states {
		t.Logf("shape %d: generation %d, %d messages left", i, st.Generation.Number, st.Messages)
	}
	s.Until("the view is up to date", func() (bool, error) {
		return view.Len() == len(states[0].Rows), view.Err()
	}, func() string { return fmt.Sprint(view.Len(), len(states[0].Rows)) })
	if again == 0 {
		t.Error("no position was gone that a reader had kept")
	}
	t.Logf("%d kept positions were gone", again)
}

// TestAFoldedShapeIsSelectedFrom has a shape folded, then others select from it, then not, then it is folded again and selected
// from once more: what the materializer had kept from the first time does not reach to where the log begins now.
func TestAFoldedShapeIsSelectedFrom(t *testing.T) {
	s := stack.New(t, tasks+`CREATE TABLE owners (id int PRIMARY KEY, active bool); INSERT INTO owners SELECT i, i % 2 = 0 FROM generate_series(0, 9) i;`)
	foldOften(s)
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	inner := s.Create(client.Definition{Table: "owners", Columns: []string{"id"}, Where: "active"})
	change := func(n int) {
		for i := range n {
			s.Exec(fmt.Sprintf("UPDATE owners SET active = NOT active WHERE id = %d; UPDATE tasks SET owner = (owner + 1) %% 10 WHERE id = %d", i%10, 1+i%100))
		}
	}
	for round := range 3 {
		// The one before may be purged when this one begins.
		for range 2 {
			change(5)
			awaitFolds(s, inner, 1)
		}
		outer := s.Create(client.Definition{Table: "tasks", Where: "owner IN (SELECT id FROM owners WHERE active)", Columns: [][]string{nil, {"id"}, {"id", "owner"}}[round]})
		if in := outer.Info().Subqueries; len(in) != 1 || in[0] != inner.Handle() {
			t.Fatalf("it selects from %v, not from %s", in, inner.Handle())
		}
		s.Verify(inner, outer)
		change(25)
		s.Verify(inner, outer)
		if err := s.Client.Delete(t.Context(), outer.Handle()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAViewWhoseKeptPlaceIsGoneReadsTheRowsAgain lets a view begin with rows that were kept, behind which the log is gone.
func TestAViewWhoseKeptPlaceIsGoneReadsTheRowsAgain(t *testing.T) {
	s := stack.New(t, tasks)
	foldOften(s)
	s.StartIngest()
	s.StartConsumer()
	sh := s.Create(client.Definition{Table: "tasks"})
	s.Exec("UPDATE tasks SET title = 'a' WHERE id = 1")
	s.Verify(sh)
	view := sh.View(client.ViewOptions{})
	var kept client.Snapshot
	s.Until("the view has its rows", func() (_ bool, err error) {
		kept, err = view.Snapshot()
		return err == nil && kept.Position.Offset == sh.Info().Offset || len(kept.Rows) == 100, err
	}, func() string { return "" })
	view.Close()
	for i := range 3 {
		s.Exec(fmt.Sprintf("INSERT INTO tasks VALUES (%d); DELETE FROM tasks WHERE id = %d", 1000+i, i+1))
		s.Exec("UPDATE tasks SET title = title || 'x'")
		awaitFolds(s, sh, 1)
	}
	s.Exec("INSERT INTO tasks VALUES (2000), (2001)")
	s.Verify(sh)
	view = sh.View(client.ViewOptions{From: &kept})
	defer view.Close()
	for view.Len() != 102 {
		changed := view.Changed()
		switch n := view.Len(); {
		case n == 102:
			continue
		case n != len(kept.Rows):
			t.Fatalf("the view shows %d rows: neither those that were kept nor those of now", n)
		case view.Err() != nil:
			t.Fatal(view.Err())
		}
		select {
		case <-changed:
		case <-time.After(stack.Timeout):
			t.Fatalf("the view still has %d rows; stalled: %v", view.Len(), view.Stalled())
		}
	}
	if snap, err := view.Snapshot(); err != nil || snap.Ended || snap.Position.Handle != sh.Handle() {
		t.Fatalf("%v, ended %t, of %s", err, snap.Ended, snap.Position.Handle)
	}
}

// TestAFoldDoesNotLoseWhatItsSnapshotDoesNotSee folds a log in which a commit stands that no snapshot sees yet: the generation
// names it, again and again, and whoever begins there has its row.
func TestAFoldDoesNotLoseWhatItsSnapshotDoesNotSee(t *testing.T) {
	server := pgtest.Own(t, map[string]string{"synchronous_standby_names": "nobody", "synchronous_commit": "local"})
	if err := server.CreateDatabase(t.Context(), "folds"); err != nil {
		t.Fatal(err)
	}
	s := stack.On(t, server.URL("folds"), tasks)
	foldOften(s)
	s.StartIngest()
	s.StartConsumer()
	sh := s.Create(client.Definition{Table: "tasks"})
	pid, done := commitUnseen(s, "INSERT INTO tasks VALUES (500, 1, 'streamed, not visible')")
	for i := range 3 {
		s.Exec(fmt.Sprintf("UPDATE tasks SET title = 'later and visible, %d' WHERE id <= 50", i))
		s.Settle(sh)
		awaitFolds(s, sh, 1)
	}
	g, err := logcheck.Generation(t.Context(), s.JS, s.Source, sh.Info())
	if err != nil || len(g.Besides) != 1 || g.Rows != 100 {
		t.Fatalf("generation %+v (%v): want 100 rows, and one transaction that is not in them", g, err)
	}
	view := sh.View(client.ViewOptions{})
	defer view.Close()
	s.Until("a reader that begins has the row", func() (bool, error) { return view.Len() == 101, view.Err() }, func() string { return fmt.Sprint(view.Len()) })
	s.Exec("SELECT pg_cancel_backend($1)", pid) // the commit stands; only the wait ends
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s.Exec("UPDATE tasks SET title = 'all visible' WHERE id <= 50")
	s.Verify(sh)
	awaitFolds(s, sh, 1)
	if g, err = logcheck.Generation(t.Context(), s.JS, s.Source, sh.Info()); err != nil || len(g.Besides) != 0 || g.Rows != 101 {
		t.Fatalf("generation %+v (%v): want 101 rows, and nothing besides", g, err)
	}
	s.Verify(sh)
}

// commitUnseen commits what waits for a standby that is not there, until the backend is told to cancel: the commit is in the WAL, and no
// snapshot sees it.
func commitUnseen(s *stack.Stack, sql string) (pid uint32, done chan error) {
	s.TB.Helper()
	hung := s.Connect()
	pid, done = hung.PgConn().PID(), make(chan error, 1)
	go func() {
		_, err := hung.PgConn().Exec(context.WithoutCancel(s.TB.Context()), "SET synchronous_commit = on; "+sql).ReadAll()
		done <- err
	}()
	s.Until("the commit waits for its standby", func() (bool, error) {
		var event string
		err := s.DB.QueryRow(s.TB.Context(), "SELECT coalesce(wait_event, '') FROM pg_stat_activity WHERE pid = $1", pid).Scan(&event)
		return event == "SyncRep", err
	}, func() string { return "it does not" })
	return pid, done
}
