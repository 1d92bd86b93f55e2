package follow

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// The tests of this file play random transactions through the router and the
// followers, without any I/O, and compare the logs with a model.

const textOID, int4OID = 25, 23

// testShapes are the shapes that every trial runs, with their predicates in Go.
var testShapes = []struct {
	where   string
	columns []string
	match   func(owner int) bool
}{
	{"", []string{"id", "owner", "title"}, func(int) bool { return true }},
	{"owner = 1", []string{"id", "owner", "title"}, func(o int) bool { return o == 1 }},
	{"owner = 2", []string{"id", "title"}, func(o int) bool { return o == 2 }},
	{"owner > 0 AND owner < 3", []string{"id", "owner"}, func(o int) bool { return o > 0 && o < 3 }},
}

type testRow struct {
	owner int
	title string
}

func (r testRow) row(id int) change.Row {
	return change.Row{[]byte(strconv.Itoa(id)), []byte(strconv.Itoa(r.owner)), []byte(r.title)}
}

// history is random transactions on one table, cut into fragments at random.
type history struct {
	fragments []change.Fragment
	states    map[change.LSN]map[int]testRow // after each commit
}

func drawHistory(t *rapid.T) history {
	rel := testTable().Relation
	finger := rel.Fingerprint()
	h := history{states: map[change.LSN]map[int]testRow{}}
	rows := map[int]testRow{}
	for n := range rapid.IntRange(1, 8).Draw(t, "transactions") {
		lsn := change.LSN(1000 * (n + 1))
		var ops []change.Op
		add := func(op change.Op) {
			op.Index = uint64(len(ops)) * change.OpStep
			ops = append(ops, op)
		}
		for range rapid.IntRange(1, 9).Draw(t, "ops") {
			id := rapid.IntRange(0, 4).Draw(t, "id")
			next := testRow{rapid.IntRange(0, 3).Draw(t, "owner"), rapid.StringMatching(`[ab]?`).Draw(t, "title")}
			old, there := rows[id]
			switch what := rapid.IntRange(0, 19).Draw(t, "what"); {
			case what == 0:
				add(change.Op{Kind: change.Truncate})
				clear(rows)
			case !there:
				add(change.Op{Kind: change.Insert, New: next.row(id)})
				rows[id] = next
			case what < 7:
				add(change.Op{Kind: change.Delete, Old: old.row(id)})
				delete(rows, id)
			case what < 11:
				to := rapid.IntRange(5, 9).Draw(t, "new id")
				if _, taken := rows[to]; taken {
					continue
				}
				add(change.Op{Kind: change.Update, Old: old.row(id), New: next.row(to)})
				delete(rows, id)
				rows[to] = next
			default:
				add(change.Op{Kind: change.Update, Old: old.row(id), New: next.row(id)})
				rows[id] = next
			}
		}
		h.states[lsn] = maps.Clone(rows)
		end := uint64(len(ops)) * change.OpStep
		for first := true; ; first = false {
			cut := rapid.IntRange(0, len(ops)).Draw(t, "cut")
			f := change.Fragment{XID: change.XID(n), LSN: lsn, Relation: finger, First: first, Ops: ops[:cut]}
			ops = ops[cut:]
			if len(ops) == 0 {
				f.Last, f.End, f.Tables = true, end, []uint32{rel.OID}
			}
			h.fragments = append(h.fragments, f)
			if f.Last {
				break
			}
		}
	}
	return h
}

// testLog is a shape log as it would be stored.
type testLog struct {
	messages [][]byte
	tails    []wire.Tail
}

// play runs fragments through a router with one follower per shape, as the
// main loop does, and appends to logs. tails are where they stand.
func play(t *rapid.T, h history, logs []testLog, limit int) {
	partition := shapelog.NewPartition(&shapelog.Config{Builders: shapelog.NewBuilders()}, 0)
	r := NewRouter(nil)
	followers := make([]*Follower, len(testShapes))
	for i, def := range testShapes {
		tail := wire.Tail{Began: true}
		if n := len(logs[i].tails); n > 0 {
			tail = logs[i].tails[n-1]
		}
		f, err := NewFollower(testRecord(strconv.Itoa(i), def.where, def.columns...), partition.NewLog(strconv.Itoa(i), nil, tail), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Add(f)
		followers[i] = f
	}
	flush := func() error {
		for _, f := range r.Take() {
			i, err := strconv.Atoi(f.Handle)
			if err != nil {
				return err
			}
			logs[i].messages = append(logs[i].messages, slices.Clone(f.Finish()))
			logs[i].tails = append(logs[i].tails, f.Tail)
			f.Appended = f.Tail
			f.Release()
		}
		return nil
	}
	rel := testTable().Relation
	for i := range h.fragments {
		ended, err := r.Fragment(&rel, &h.fragments[i], limit, flush)
		if err != nil || len(ended) > 0 {
			t.Fatalf("fragment %d: ended %v, error %v", i, ended, err)
		}
		if err := flush(); err != nil {
			t.Fatal(err)
		}
	}
}

// entries flattens a log into lines, one per op and marker, however it is cut
// into messages.
func entries(t *rapid.T, l testLog) []string {
	var out []string
	var d wire.LogDecoder
	for _, m := range l.messages {
		err := d.Decode(m, func(e *wire.Entry) error {
			for _, op := range e.Ops {
				out = append(out, fmt.Sprintf("%d_%d %s %q", e.LSN, op.Index, op.Kind, op.Row))
			}
			if e.Last {
				out = append(out, fmt.Sprintf("%d_%d commit", e.LSN, e.End))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestLogEqualsQueryAtEveryMarker pins I4 and I5 for standalone shapes.
func TestLogEqualsQueryAtEveryMarker(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		logs := make([]testLog, len(testShapes))
		play(t, h, logs, rapid.SampledFrom([]int{0, 50, 1 << 20}).Draw(t, "limit"))
		for i, def := range testShapes {
			checkLog(t, h, logs[i], def.columns, def.match)
		}
	})
}

func checkLog(t *rapid.T, h history, l testLog, columns []string, match func(int) bool) {
	project := func(id int, r testRow) string {
		var vals []string
		for _, c := range columns {
			vals = append(vals, map[string]string{"id": strconv.Itoa(id), "owner": strconv.Itoa(r.owner), "title": r.title}[c])
		}
		return fmt.Sprintf("%q", vals)
	}
	rows := map[string]string{} // id → row
	var last change.Offset
	last.Op = 0
	first := true
	step := func(o change.Offset) {
		if !first && !last.Before(o) {
			t.Fatalf("offset %s after %s", o, last)
		}
		first, last = false, o
	}
	var d wire.LogDecoder
	for n, m := range l.messages {
		err := d.Decode(m, func(e *wire.Entry) error {
			for _, op := range e.Ops {
				step(change.Offset{LSN: e.LSN, Op: op.Index})
				var key string
				if op.Row != nil {
					key = string(op.Row[0])
				}
				_, there := rows[key]
				switch op.Kind {
				case change.Insert:
					if there {
						return fmt.Errorf("insert of row %s, which is there", key)
					}
					rows[key] = fmt.Sprintf("%q", op.Row)
				case change.Update:
					if !there {
						return fmt.Errorf("update of row %s, which is not there", key)
					}
					rows[key] = fmt.Sprintf("%q", op.Row)
				case change.Delete:
					if !there {
						return fmt.Errorf("delete of row %s, which is not there", key)
					}
					if len(op.Row) != 1 {
						return fmt.Errorf("delete of %q: want the key only", op.Row)
					}
					delete(rows, key)
				case change.Truncate:
					clear(rows)
				case change.Upsert, change.Discard:
					return fmt.Errorf("%s in the log of a shape without subqueries", op.Kind)
				}
			}
			if !e.Last {
				return nil
			}
			step(change.Offset{LSN: e.LSN, Op: e.End})
			want := map[string]string{}
			for id, r := range h.states[e.LSN] {
				if match(r.owner) {
					want[strconv.Itoa(id)] = project(id, r)
				}
			}
			if diff := cmp.Diff(want, rows); diff != "" {
				return fmt.Errorf("at marker %d the shape is not its query (-want +got):\n%s", e.LSN, diff)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if tail := l.tails[n]; tail.Rows != int64(len(rows)) || tail.Last != last {
			t.Fatalf("tail %s after message %d; the log ends at %s with %d rows", tail, n, last, len(rows))
		}
	}
	if n := len(l.tails); n > 0 && l.tails[n-1].Open() {
		t.Fatalf("the log ends inside a transaction: %s", l.tails[n-1])
	}
}

// TestResumeContinuesAtTheOp pins I6: wherever a log is cut, another process
// that reads the change log again, cut into fragments otherwise, completes it
// to the same entries.
func TestResumeContinuesAtTheOp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		whole := make([]testLog, len(testShapes))
		play(t, h, whole, 0)
		cut := make([]testLog, len(testShapes))
		for i := range whole {
			n := rapid.IntRange(0, len(whole[i].messages)).Draw(t, "survived")
			cut[i] = testLog{slices.Clone(whole[i].messages[:n]), slices.Clone(whole[i].tails[:n])}
		}
		play(t, refragment(t, h), cut, rapid.SampledFrom([]int{0, 80}).Draw(t, "limit"))
		for i := range whole {
			if diff := cmp.Diff(entries(t, whole[i]), entries(t, cut[i])); diff != "" {
				t.Fatalf("shape %d after a crash (-without +with):\n%s", i, diff)
			}
		}
	})
}

// refragment cuts the same transactions otherwise.
func refragment(t *rapid.T, h history) history {
	out := history{states: h.states}
	var whole change.Fragment
	for _, f := range h.fragments {
		if f.First {
			whole = f
			whole.Ops = nil
		}
		whole.Ops = append(slices.Clone(whole.Ops), f.Ops...)
		if !f.Last {
			continue
		}
		size := rapid.IntRange(1, 4).Draw(t, "fragment size")
		chunks := slices.Collect(slices.Chunk(whole.Ops, size))
		for i, ops := range chunks {
			g := f
			g.First, g.Last, g.Ops = i == 0, i == len(chunks)-1, ops
			out.fragments = append(out.fragments, g)
		}
		if len(chunks) == 0 {
			f.First = true
			out.fragments = append(out.fragments, f)
		}
	}
	return out
}
