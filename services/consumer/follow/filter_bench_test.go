package follow

import (
	"fmt"
	"runtime"
	"strconv"
	"testing"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/shape"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// The table of BenchmarkFilter: that of an app with users and projects.
func benchTable() *pg.TableInfo {
	const int8OID, numericOID, timestamptzOID, textArrayOID = 20, 1700, 1184, 1009
	rel := change.Relation{OID: 9, Schema: "public", Name: "tasks", Identity: change.IdentityFull}
	t := &pg.TableInfo{PrimaryKey: []string{"id"}, Kind: pg.KindTable}
	for _, c := range []struct {
		name string
		oid  uint32
	}{{"id", int8OID}, {"user_id", int8OID}, {"project_id", int8OID}, {"status", textOID}, {"price", numericOID}, {"title", textOID}, {"at", timestamptzOID}, {"tags", textArrayOID}} {
		rel.Columns = append(rel.Columns, change.Column{Name: c.name, Type: c.oid, TypeMod: -1})
		t.Columns = append(t.Columns, pg.ColumnInfo{Name: c.name, Type: c.oid, TypeMod: -1, Deterministic: true})
	}
	t.Relation = rel
	return t
}

func benchRow(user, project int, status string, price int) change.Row {
	return change.Row{
		[]byte("4711"), []byte(strconv.Itoa(user)), []byte(strconv.Itoa(project)), []byte(status), []byte(strconv.Itoa(price) + ".50"),
		[]byte("a title of a length that titles often have"), []byte("2024-02-29 12:34:56.789+00"), []byte("{work,urgent,tag" + strconv.Itoa(user) + "}"),
	}
}

// benchKinds are the shapes of BenchmarkFilter: the clause of the i-th, and its parameters. Every kind has a row that matches none of
// them and, but for those unmatched, one that matches one of those that are there first.
var benchKinds = []struct {
	name      string
	shape     func(i int) (where string, params []string)
	unmatched bool // there is no row that matches one of them
}{
	{"user_id = $1", func(i int) (string, []string) { return "user_id = $1", []string{strconv.Itoa(i)} }, false},
	{"project_id = $1 AND status IN (…)", func(i int) (string, []string) {
		lists := []string{"'open', 'waiting'", "'closed', 'waiting'", "'open', 'stuck', 'new'"}
		return "project_id = $1 AND status IN (" + lists[i%len(lists)] + ")", []string{strconv.Itoa(i / 4)}
	}, false},
	{"ranges", func(i int) (string, []string) {
		return "price >= $1 AND price < $2", []string{strconv.Itoa(i), strconv.Itoa(i + 1)}
	}, false},
	{"tags @> '{x}'", func(i int) (string, []string) { return "tags @> $1", []string{"{tag" + strconv.Itoa(i) + "}"} }, true},
	{"title ILIKE 'x%'", func(i int) (string, []string) { return "title ILIKE $1", []string{"T" + strconv.Itoa(i) + "%"} }, true},
	{"title LIKE '%x%'", func(i int) (string, []string) { return "title LIKE $1", []string{"%" + strconv.Itoa(1000+i) + "%"} }, true},
	{"mix with 1 % LIKE '%x%'", func(i int) (string, []string) {
		switch {
		case i%100 == 99:
			return "title LIKE $1", []string{"%" + strconv.Itoa(i) + "%"}
		case i%3 == 0:
			return "user_id = $1", []string{strconv.Itoa(i)}
		case i%3 == 1:
			return "project_id = $1 AND status IN ('open', 'waiting')", []string{strconv.Itoa(i / 4)}
		default:
			return "price BETWEEN $1 AND $2", []string{strconv.Itoa(i), strconv.Itoa(i + 1)}
		}
	}, false},
}

// benchRouter fills a router with n live shapes, as recovery makes them: each record with everything of its own. It returns the heap that
// each shape holds, in bytes.
func benchRouter(tb testing.TB, n int, kind func(int) (string, []string)) (*Router, float64) {
	tb.Helper()
	live := map[string]*Follower{}
	logs := shapelog.NewPartition(&shapelog.Config{Builders: shapelog.NewBuilders()}, 0)
	shared := benchTable() // all shapes of a table share what is known of it
	r := NewRouter(nil)
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // the first one may have begun before the last things became garbage
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	before := heap()
	for i := range n {
		where, params := kind(i)
		rec := &registry.Shape{
			ID: fmt.Sprintf("%016x", i), Handle: fmt.Sprintf("%016x-%d", i, 1_700_000_000_000_000+i), Table: shared, Structure: "s",
			Definition: shape.Definition{Schema: "public", Table: "tasks", Columns: []string{"id", "user_id", "project_id", "status", "price", "title", "at", "tags"}, Where: where, Params: pointers(params)},
		}
		f, err := NewFollower(rec, logs.NewLog(rec.Handle, nil, wire.Tail{Began: true}), nil)
		if err != nil {
			tb.Fatal(err)
		}
		live[f.ID] = f
		r.Add(f)
	}
	after := heap()
	runtime.KeepAlive(live)
	return r, (after - before) / float64(n)
}

// BenchmarkFilter is what one change costs the consumer beside so many live shapes, from a decoded fragment on: finding the shapes
// and asking their clauses, and for "one match" making its entry. A change is an update of a column that no clause but those
// with LIKE names. An iteration is a hundred changes in one fragment, of a thousand rows in turn.
func BenchmarkFilter(b *testing.B) {
	for _, kind := range benchKinds {
		b.Run(kind.name, func(b *testing.B) {
			for _, n := range []int{1, 1000, 10_000, 100_000} {
				b.Run(fmt.Sprintf("shapes=%d", n), func(b *testing.B) {
					r, bytes := benchRouter(b, n, kind.shape)
					b.Run("no match", func(b *testing.B) {
						benchRoute(b, r, func(i int) change.Row { return benchRow(-1-i, -1-i, "open", -1-i) })
						b.ReportMetric(bytes, "B/shape")
					})
					if !kind.unmatched {
						b.Run("one match", func(b *testing.B) {
							benchRoute(b, r, func(i int) change.Row {
								i = i * 7919 % n
								return benchRow(i, i/4, "waiting", i)
							})
						})
					}
				})
			}
		})
	}
}

// benchRoute routes updates of rows until the benchmark has enough.
func benchRoute(b *testing.B, r *Router, row func(i int) change.Row) {
	b.Helper()
	rel := benchTable().Relation
	fragments := benchFragments(rel.Fingerprint(), row)
	next := 0
	route := func() {
		f := &fragments[next%len(fragments)]
		next++
		f.LSN = change.LSN(next)
		if _, err := r.Fragment(&rel, f, 1<<40, nil); err != nil {
			b.Fatal(err)
		}
		for _, s := range r.Take() {
			s.Release()
		}
	}
	for range fragments { // the first one also compares every shape with the schema
		route()
	}
	b.ReportAllocs()
	b.ResetTimer()
	began := cpuTime()
	for b.Loop() {
		route()
	}
	// CPU time, as others may use the machine too.
	b.ReportMetric(float64((cpuTime()-began).Nanoseconds())/float64(b.N)/changesPerFragment, "ns/change")
}

const changesPerFragment = 100

// benchFragments are updates of a thousand rows, so that no cache is warmer than it would be.
func benchFragments(fingerprint string, row func(i int) change.Row) []change.Fragment {
	out := make([]change.Fragment, 10)
	for i := range out {
		f := &out[i]
		f.Relation = fingerprint
		for j := range changesPerFragment {
			before := row(i*changesPerFragment + j)
			after := append(change.Row(nil), before...)
			after[5] = []byte("another title")
			f.Ops = append(f.Ops, change.Op{Kind: change.Update, Index: uint64(j) * change.OpStep, Old: before, New: after})
		}
	}
	return out
}

func pointers(texts []string) []*string {
	out := make([]*string, len(texts))
	for i := range texts {
		out[i] = &texts[i]
	}
	return out
}
