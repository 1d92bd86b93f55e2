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
	r := play(t, seed, time.Duration(number(t, secondsEnv, 20))*time.Second)
	v := report(t, r)
	if t.Failed() {
		r.save(t)
		return
	}
	if v.checked < 20 {
		t.Errorf("%d markers prove little", v.checked)
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
	t.Logf("%d transactions, %d shapes, %d markers compared (%d with transactions aside, %d units, %d begun again), %d not promised to be exact; took %s",
		len(r.Txns), len(r.Shapes), v.checked, v.aside, v.units, v.voids, v.passed, v.took.Round(time.Millisecond))
	return v
}

// play runs a world for some time and records it.
func play(t *testing.T, seed uint64, long time.Duration) *Recording {
	t.Helper()
	w := newWorld(t, rand.New(rand.NewPCG(seed, 0)), number(t, subqueriesEnv, withSubqueries) > 0)
	traffic := w.startTraffic(2, 2)
	end := time.Now().Add(long)
	for time.Now().Before(end) && pause(t.Context(), w.rng, 400*time.Millisecond) {
		w.step(traffic)
		w.revive()
	}
	traffic.stop()
	w.innerShapes()
	w.settle()
	w.sameHandles()
	r := &Recording{Seed: seed, Schema: w.schema, Shapes: w.records}
	for _, l := range w.shapes {
		r.Shapes = append(r.Shapes, &Record{Kind: l.kind, Rest: true, Log: w.read(l)})
	}
	if err := readSlot(t.Context(), w.db, w.stream); err != nil {
		t.Fatal(err)
	}
	r.Txns = w.stream.txns
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

// step lets something happen.
func (w *world) step(t *traffic) {
	w.tb.Helper()
	switch w.rng.IntN(14) {
	case 0, 1, 2, 3:
		if len(w.shapes) < maxShapes {
			w.want()
		}
	case 4:
		if len(w.wanted) > 0 { // adopts what was asked for before
			w.ask(w.wanted[0], false)
			w.wanted = w.wanted[1:]
		}
	case 5:
		if i := w.rng.IntN(len(w.shapes) + 1); len(w.shapes) > maxShapes/2 && i < len(w.shapes) && !w.shapes[i].inner {
			w.drop(i)
		}
	case 6, 7, 8:
		w.crash(w.services[w.rng.IntN(len(w.services))])
	case 9:
		w.large(t)
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
	w.tb.Logf("a transaction of about %d ops, in %s", ops, time.Since(began).Round(time.Millisecond))
	switch w.rng.IntN(3) {
	case 0:
		w.want()
	case 1:
		if len(w.wanted) > 0 {
			w.ask(w.wanted[0], false)
			w.wanted = w.wanted[1:]
		}
	}
}
