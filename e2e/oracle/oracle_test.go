package oracle

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

// maxShapes is how many shapes live at a time.
const maxShapes = 14

// TestEveryCommitMarkerIsExact plays one seed and judges every shape.
func TestEveryCommitMarkerIsExact(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Postgres; not in -short")
	}
	if file := os.Getenv(recordingEnv); file != "" {
		r := load(t, file)
		if handle := os.Getenv(showEnv); handle != "" {
			show(t, r, handle)
		}
		report(t, r)
		return
	}
	seed := number(t, seedEnv, rand.Uint64())
	t.Logf("%s=%d", seedEnv, seed)
	long := time.Duration(number(t, secondsEnv, 20)) * time.Second
	p := newPlan(t, seed, long)
	t.Log(p)
	r := play(t, seed, p, long)
	v := report(t, r)
	if t.Failed() {
		r.save(t)
		return
	}
	if v.checked < 20 {
		t.Errorf("%d markers prove little", v.checked)
	}
	if !p.short {
		return // shorter runs have shown it
	}
	t.Run("and the judge notices mistakes", func(t *testing.T) { bites(t, r) })
}

// report judges a recording and says what was found.
func report(t *testing.T, r *Recording) *verdict {
	t.Helper()
	v, err := judge(t.Context(), pgtest.Database(t), r)
	if err != nil {
		r.save(t)
		t.Fatal(err)
	}
	for i, text := range v.wrong {
		if i == 10 {
			t.Errorf("and %d more", len(v.wrong)-i)
			break
		}
		t.Error(text)
	}
	if v.first != nil {
		t.Logf("what happened around %s, where the first is wrong:\n%s", v.first.wrongAt, r.around(v.first.wrongAt, v.first.handles()...))
	}
	t.Logf("%d transactions, %d shapes, %d markers compared (%d of nested shapes, %d with transactions deferred, %d units, %d begun again), %d skipped, readers compared at %d, %d generations (%d with changes besides); took %s",
		len(r.Txns), len(r.Shapes), v.checked, v.nested, v.deferred, v.units, v.aborts, v.skipped, v.read, v.generations, v.besides, v.took.Round(time.Millisecond))
	return v
}

// play runs a world for some time and records it.
func play(t *testing.T, seed uint64, p *plan, long time.Duration) *Recording {
	t.Helper()
	w := newWorld(t, rand.New(rand.NewPCG(seed, 0)), p, number(t, subqueriesEnv, withSubqueries) > 0)
	if p.has(readers) {
		w.watchers = newWatchers(p.has(folds))
		t.Cleanup(w.watchers.stop)
	}
	traffic := w.startTraffic(2, 2)
	steps := w.steps()
	end := time.Now().Add(long)
	for time.Now().Before(end) && pause(t.Context(), w.rng, 400*time.Millisecond) {
		steps[w.rng.IntN(len(steps))](traffic)
		w.revive()
	}
	traffic.stop()
	w.resolve()
	w.innerShapes()
	w.settle()
	w.note("judged what must come true")
	w.sameHandles()
	r := &Recording{Seed: seed, Schema: w.schema}
	for _, l := range w.shapes {
		r.Shapes = append(r.Shapes, &Record{Kind: l.kind, Rest: true, Log: w.read(l)})
	}
	w.readersAtRest(r.Shapes)
	r.Shapes = append(w.records, r.Shapes...)
	r.Events = w.told()
	if err := readSlot(t.Context(), w.db, w.stream); err != nil {
		t.Fatal(err)
	}
	r.Txns = w.stream.txns
	w.note("everything is read")
	var kills []string
	for _, s := range w.services {
		kills = append(kills, fmt.Sprintf("%s %d times", s.name, s.kills))
	}
	t.Logf("traffic: %d transactions, %d failed, %d commits hung; killed: %s; shapes: %d asked for, %d refused",
		traffic.done.Load(), traffic.failed.Load(), traffic.hung.Load(), strings.Join(kills, ", "), w.asked, w.refused)
	return r
}

// withSubqueries is the default of subqueriesEnv.
const withSubqueries = 1

// steps are what may happen, the likely more often.
func (w *world) steps() (steps []func(*traffic)) {
	add := func(n int, f func(*traffic)) {
		for range n {
			steps = append(steps, f)
		}
	}
	with := func(i ingredient, n int, f func(*traffic)) {
		if w.plan.has(i) {
			add(n, f)
		}
	}
	add(4, func(*traffic) {
		if len(w.shapes) < maxShapes {
			w.want()
		}
	})
	add(1, func(*traffic) { w.adopt() })
	add(1, func(*traffic) {
		if i := w.rng.IntN(len(w.shapes) + 1); len(w.shapes) > maxShapes/2 && i < len(w.shapes) && !w.shapes[i].inner {
			w.drop(i)
		}
	})
	add(3, func(*traffic) { w.crash(w.services[w.rng.IntN(len(w.services))]) })
	add(1, w.large)
	add(3, func(*traffic) {}) // traffic alone
	with(toggles, 3, w.few)
	with(locks, 3, w.hold)
	with(locks, 1, w.making)
	with(slow, 2, w.still)
	with(shared, 2, w.freeze)
	with(shared, 1, w.visit)
	with(again, 3, w.afresh)
	with(refills, 2, func(*traffic) { w.refill() })
	with(refills, 2, w.making)
	with(ddl, 1, func(*traffic) { w.alterOne() })
	with(ends, 1, w.dropAll)
	with(many, 1, func(*traffic) { w.crowd() })
	with(pgDies, 1, func(*traffic) { w.killPostgres() })
	if w.plan.has(natsDies) || w.plan.has(natsLoses) {
		add(1, func(*traffic) { w.killNATS() })
	}
	with(readers, 3, func(*traffic) { w.readShape() })
	return steps
}

// adopt asks for a shape whose inner shapes were asked for before.
func (w *world) adopt() {
	w.tb.Helper()
	if len(w.wanted) > 0 {
		w.ask(w.wanted[0], false)
		w.wanted = w.wanted[1:]
	}
}

// want asks for a shape, or first for those that its subqueries select from.
func (w *world) want() {
	w.tb.Helper()
	levels := 0
	if w.subqueries {
		levels = []int{0, 1, 1, 1, 2}[w.rng.IntN(5)]
	}
	want := w.clauses.shape(levels)
	if w.rng.IntN(3) == 0 && len(want.inner) > 0 {
		for _, in := range want.inner {
			w.ask(in, true)
		}
		w.wanted = append(w.wanted, want)
		return
	}
	w.ask(want, false)
}

// large has a large transaction committed, and perhaps asks for a shape while
// its fragments are on their way.
func (w *world) large(t *traffic) {
	w.tb.Helper()
	load := &workload{rng: w.rng, schema: w.schema}
	ops := 300 + w.rng.IntN(3000)
	if number(w.tb, secondsEnv, 0) > 60 && w.rng.IntN(4) == 0 {
		ops = 100_000
	}
	began := time.Now()
	t.run(w.tb.Context(), w.db, load.big(ops))
	w.note("a transaction of about %d ops, in %s", ops, time.Since(began).Round(time.Millisecond))
	switch w.rng.IntN(3) {
	case 0:
		w.want()
	case 1:
		w.adopt()
	}
}
