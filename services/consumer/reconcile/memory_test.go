package reconcile_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/internal/valueset"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
)

// usage is what n values take.
type usage struct{ kept, allocated float64 } // bytes a value

// measure tells what a step that makes something of n values keeps and allocates.
func measure[T any](n int, step func() T) (made T, u usage) {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	made = step()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(made)
	return made, usage{(float64(after.HeapAlloc) - float64(before.HeapAlloc)) / float64(n), float64(after.TotalAlloc-before.TotalAlloc) / float64(n)}
}

// revocation takes n values of six digits and more out of a set in one unit, and tells what each part takes.
func revocation(tb testing.TB, n int) map[string]usage {
	tb.Helper()
	out := map[string]usage{}
	keyOf := func(key []byte, i int) []byte {
		return valueset.AppendComponent(key[:0], fmt.Append(nil, 100_000+i))
	}
	var base *valueset.Set
	base, out["base"] = measure(n, func() *valueset.Set {
		s, key := &valueset.Set{}, []byte(nil)
		for i := range n {
			key = keyOf(key, i)
			s.Add(key, 1)
		}
		return s
	})
	var key []byte
	var deltas wire.Deltas
	for i := range n {
		key = keyOf(key, i)
		deltas = deltas.Append(key, -1)
	}
	body := wire.EncodeVerdict(&wire.Verdict{Deltas: deltas})
	var v *wire.Verdict
	v, out["verdict"] = measure(n, func() *wire.Verdict {
		v, err := wire.DecodeVerdict(append([]byte(nil), body...))
		if err != nil {
			tb.Fatal(err)
		}
		return v
	})
	var set *reconcile.Set
	set, out["set"] = measure(n, func() *reconcile.Set {
		s := reconcile.Freeze(valueset.NewView(base))
		s.Add(v.Deltas.All())
		return s
	})
	runtime.KeepAlive(v) // else it would be freed in between
	if set.Len() != n {
		tb.Fatalf("%d values changed", set.Len())
	}
	table := predicate.Table{Schema: "public", Name: "tasks", Columns: []predicate.Column{{Name: "id", TypeOID: 20}}}
	p, err := predicate.Compile("id IN (SELECT id FROM tasks)", nil, table, func(string, string) (*predicate.Table, error) { return &table, nil })
	if err != nil {
		tb.Fatal(err)
	}
	_, out["query by all of them"] = measure(n, func() string {
		touch := p.Subqueries()[0].NewTouch()
		for key := range set.Values() {
			if err := touch.Add(key); err != nil {
				tb.Fatal(err)
			}
		}
		return touch.SQL()
	})
	_, out["the set that is left"] = measure(n, set.Accept)
	return out
}

// TestAChangedValueTakesLittleMemory: what is held for each value of a large revocation is near its size.
func TestAChangedValueTakesLittleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("measures memory, of which the race detector takes more; not in -short")
	}
	most := map[string]usage{"base": {35, 80}, "verdict": {12, 12}, "set": {35, 80}, "query by all of them": {12, 80}, "the set that is left": {1, 1}}
	for part, u := range revocation(t, 100_000) {
		t.Logf("%s: %.1f bytes a value, %.1f allocated", part, u.kept, u.allocated)
		if u.kept > most[part].kept || u.allocated > most[part].allocated {
			t.Errorf("%s takes %+v bytes a value, want at most %+v", part, u, most[part])
		}
	}
}

func BenchmarkRevocation(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				for part, u := range revocation(b, n) {
					b.Logf("%s: %.1f bytes a value, %.1f allocated", part, u.kept, u.allocated)
				}
			}
		})
	}
}
