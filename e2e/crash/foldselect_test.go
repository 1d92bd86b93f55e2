package crash

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/shapebus/shapebus/e2e/logcheck"
	"github.com/shapebus/shapebus/e2e/long"
	"github.com/shapebus/shapebus/e2e/proc"
	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// selecting are tables of a chain. Their keys are long, so that the segments of all its shapes are several messages.
const selecting = `
	CREATE TABLE teams (id text PRIMARY KEY, active boolean);
	CREATE TABLE kinds (id text PRIMARY KEY, team text);
	CREATE TABLE things (id bigint PRIMARY KEY, kind text, body text);
	INSERT INTO teams SELECT 'team ' || g || repeat('.', 60), g % 4 <> 0 FROM generate_series(0, 5999) g;
	INSERT INTO kinds SELECT 'kind ' || g || repeat('.', 60), 'team ' || g % 6000 || repeat('.', 60) FROM generate_series(0, 5999) g;
	INSERT INTO things SELECT g, 'kind ' || g % 6000 || repeat('.', 60), 'thing ' || g FROM generate_series(0, 5999) g;`

// changeSelecting is a statement on these tables. While nothing is to be selected otherwise, it changes what is selected only.
func changeSelecting(rng *rand.Rand, calm bool) string {
	id, other := rng.IntN(60), rng.IntN(60)
	n := rng.IntN(6)
	if calm {
		n = 5
	}
	switch n {
	case 0:
		return fmt.Sprintf("UPDATE teams SET active = NOT active WHERE id = 'team %d' || repeat('.', 60);", id)
	case 1:
		return fmt.Sprintf("UPDATE kinds SET team = 'team %d' || repeat('.', 60) WHERE id = 'kind %d' || repeat('.', 60);", other, id)
	case 2:
		return fmt.Sprintf("UPDATE things SET kind = 'kind %d' || repeat('.', 60) WHERE id = %d;", other, id)
	case 3:
		return fmt.Sprintf("DELETE FROM things WHERE id = %d;", id)
	default:
		return fmt.Sprintf("INSERT INTO things VALUES (%d, 'kind %d' || repeat('.', 60), 'body') ON CONFLICT (id) DO UPDATE SET body = things.body || '.';", id, other)
	}
}

// The shapes that are folded, by what they are to others.
const (
	innerShape = iota // others select from it
	innerOuter        // others select from it, and it selects itself
	outerShape
)

// selectingShapes are the definitions of these.
func selectingShapes() []client.Definition {
	return []client.Definition{
		innerShape: {Table: "teams", Columns: []string{"id"}, Where: "active"},
		innerOuter: {Table: "kinds", Columns: []string{"id"}, Where: "team IN (SELECT id FROM teams WHERE active)"},
		outerShape: {Table: "things", Where: "kind IN (SELECT id FROM kinds WHERE team IN (SELECT id FROM teams WHERE active))"},
	}
}

// A consumer dies at each step of the fold of a shape that selects, of one that others select from, and of one that is both: of the unit
// with which it begins, of the generation, and of the removal of what that replaces. Its successor folds the log as it was asked to, and
// leaves nothing of what the dead one began. Who reads along is told nothing, and each generation is the shape as that reader saw it.
func TestConsumerDiesWhileItFoldsShapesThatSelect(t *testing.T) {
	t.Parallel()
	of := []failpoint.Point{
		failpoint.FoldBegun, failpoint.FoldRow, failpoint.FoldCopied, failpoint.FoldStored, failpoint.FoldUntold, failpoint.FoldCut, failpoint.FoldPurged,
	}
	unit := []failpoint.Point{failpoint.SnapshotOpen, failpoint.UnitOpen, failpoint.UnitWaits, failpoint.UnitReread, failpoint.UnitMarked}
	if !long.Runs() {
		of = []failpoint.Point{failpoint.FoldRow, failpoint.FoldStored}
		unit = []failpoint.Point{failpoint.UnitWaits, failpoint.UnitMarked}
	}
	for name, c := range map[string]struct {
		shape  int
		points []failpoint.Point
	}{
		"an inner shape":                 {innerShape, of},
		"an inner shape with subqueries": {innerOuter, slices.Concat(unit, of)},
		"a shape with nested subqueries": {outerShape, slices.Concat(unit, of)},
	} {
		t.Run(name, func(t *testing.T) {
			if c.shape == innerShape {
				long.Only(t)
			}
			t.Parallel()
			w := newWorld(t, options{})
			w.exec(selecting)
			var calm atomic.Bool
			w.traffic.more = func(rng *rand.Rand) string { return changeSelecting(rng, calm.Load()) }
			w.startIngest(nil)
			w.service("materializer", nil, "materializer", "--listen=", "--sync-interval", "100ms", "--value-set-base-least", "1KiB")
			flags := []string{"--fold-factor", "0", "--fold-interval", "20ms", "--fold-grace", "1ms", "--sync-interval", "100ms"}
			w.startConsumer(nil, flags...)
			for _, def := range selectingShapes() {
				w.ask(def)
			}
			w.awaitLive()
			follows := w.follow(c.shape)
			w.traffic.run()
			w.traffic.some(10)
			for _, point := range c.points {
				w.dieFolding(c.shape, point, &calm, flags)
				w.awaitOneSegment(c.shape)
				follows.judge(w, c.shape)
			}
			w.verify()
		})
	}
}

// dieFolding asks for a fold of a shape, during which the consumer dies, and waits until its successor has done it.
func (w *world) dieFolding(n int, point failpoint.Point, calm *atomic.Bool, flags []string) {
	w.tb.Helper()
	// Other units than the fold's are not to be where it dies.
	calm.Store(true)
	w.settle()
	for i := range w.shapes {
		w.await(i, "without a fold", func(s control.Shape) bool { return s.Fold == nil })
	}
	w.consumer.Stop()
	w.startConsumer(failpoint.At(point, 1), flags...)
	w.awaitLive()
	from := w.await(n, "there", func(control.Shape) bool { return true }).Generation
	if _, err := w.client.Fold(w.tb.Context(), w.shapes[n].Handle()); err != nil {
		w.tb.Fatal(err)
	}
	calm.Store(point < failpoint.FoldBegun) // behind these steps the materializer has to have something to do
	w.consumer.DiesAt(point)
	calm.Store(false)
	w.traffic.some(10)
	w.startConsumer(nil, flags...)
	now := w.await(n, "folded", func(s control.Shape) bool { return s.Generation > from && s.Fold == nil })
	w.tb.Logf("it died at %s; generation %d came after %d", point, now.Generation, from)
}

// followed is what a reader that begins once and follows holds at the commits of a shape.
type followed struct {
	tb    testing.TB
	mu    sync.Mutex
	at    []client.Offset // ascending
	sums  []uint64        // of the rows there
	ended error
}

// follow reads a shape until the test ends.
func (w *world) follow(n int) *followed {
	f := &followed{tb: w.tb}
	ctx, cancel := context.WithCancel(context.Background())
	var reading sync.WaitGroup
	reading.Go(func() {
		err := readRows(ctx, w.shapes[n], func(c client.Commit, sum uint64) bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.at, f.sums = append(f.at, c.Offset), append(f.sums, sum)
			return true
		})
		f.mu.Lock()
		defer f.mu.Unlock()
		f.ended = err
	})
	w.tb.Cleanup(func() { cancel(); reading.Wait() })
	return f
}

// judge compares what a reader that begins now begins with to what the one that follows has seen there.
func (f *followed) judge(w *world, n int) {
	w.tb.Helper()
	until(w.tb, "a new reader begins with what the one that follows has seen there", func() (bool, error) {
		var at client.Offset
		var sum uint64
		err := readRows(w.tb.Context(), w.shapes[n], func(c client.Commit, s uint64) bool { at, sum = c.Offset, s; return false })
		if err != nil {
			w.tb.Fatalf("a new reader: %v", err)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.ended != nil {
			w.tb.Fatalf("the reader that follows: %v", f.ended)
		}
		last := -1
		for i, o := range f.at {
			if !at.Before(o) {
				last = i
			}
		}
		if last < 0 || last == len(f.at)-1 && f.at[last] != at {
			return false, errors.New("the one that follows has not come as far")
		}
		if f.sums[last] != sum {
			w.tb.Fatalf("a new reader begins at %s with other rows than the one that follows had there", at)
		}
		g, err := logcheck.Generation(w.tb.Context(), w.nats.js, w.source, w.shapes[n].Info())
		if err != nil || g == nil || g.Offset() != at {
			return false, fmt.Errorf("generation %+v (%w), and it began at %s", g, err, at) // folded once more meanwhile
		}
		return true, nil
	})
}

// readRows reads a shape with a key from its beginning, and gives a sum of its rows at each commit, until at says no.
func readRows(ctx context.Context, sh *client.Shape, at func(c client.Commit, sum uint64) bool) error {
	rows, was := map[string]string{}, map[string]string{}
	began := false
	for e, err := range sh.Subscribe(client.Beginning(), client.Options{Patience: proc.Patience}).Events(ctx) {
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		switch e := e.(type) {
		case client.Begin:
			if e.Snapshot && began {
				return errors.New("it begins again")
			}
			began, was = true, map[string]string{}
		case client.Change:
			key, text := "", ""
			for i := range e.Row.Len() {
				v := fmt.Sprintf("%q %t,", e.Row.At(i), e.Row.At(i) == nil)
				if text += v; e.Row.Column(i).Key {
					key += v
				}
			}
			if _, ok := was[key]; !ok {
				was[key] = rows[key]
			}
			if rows[key] = text; e.Kind == change.Delete || e.Kind == change.Discard {
				delete(rows, key)
			}
		case client.Abort:
			for key, text := range was {
				if rows[key] = text; text == "" {
					delete(rows, key)
				}
			}
		case client.Commit:
			var sum uint64
			for _, text := range rows {
				h := fnv.New64a()
				_, _ = h.Write([]byte(text))
				sum += h.Sum64()
			}
			if !at(e, sum) {
				return nil
			}
		}
	}
	return nil
}
