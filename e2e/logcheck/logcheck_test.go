package logcheck

import (
	"bytes"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/wire"
)

// log is a log of a shape with the columns id (its key) and v, whose snapshot
// holds row 1.
type log struct {
	b    *wire.LogBuilder
	tail wire.Tail
}

func (l *log) op(lsn, xid, index uint64, kind change.Kind, row ...string) {
	var r change.Row
	project := make([]int, len(row))
	for i, v := range row {
		r, project[i] = append(r, []byte(v)), i
	}
	l.b.Op(&change.Fragment{LSN: change.LSN(lsn), XID: change.XID(xid)}, index, kind, r, project)
	l.tail.Last = change.Offset{LSN: change.LSN(lsn), Op: index}
}

func (l *log) commit(lsn, xid, end uint64, rows int64) {
	l.b.Commit(&change.Fragment{LSN: change.LSN(lsn), XID: change.XID(xid), Last: true, End: end})
	l.tail.Last = change.Offset{LSN: change.LSN(lsn), Op: end}
	l.tail.Committed, l.tail.Rows, l.tail.CommittedRows = l.tail.Last, rows, rows
}

func (l *log) abort() {
	l.b.Abort()
	l.tail.Last, l.tail.Rows = l.tail.Committed, l.tail.CommittedRows
}

func TestReplayJudgesUnits(t *testing.T) {
	for _, c := range []struct {
		name  string
		write func(l *log)
		rows  string // or what is wrong
	}{
		{"a unit counts with its marker, and its rows may be unknown", func(l *log) {
			l.b.Unit = true
			l.op(100, 7, 0, change.Upsert, "1", "b")
			l.op(100, 7, 2, change.Upsert, "2", "c")
			l.op(110, 8, 0, change.Discard, "9")
			l.commit(120, 0, 2, -1)
		}, `"1","b", "2","c",`},
		{"or known", func(l *log) {
			l.b.Unit = true
			l.op(100, 7, 0, change.Upsert, "2", "c")
			l.commit(120, 0, 2, 2)
		}, `"1","a", "2","c",`},
		{"but not wrong", func(l *log) {
			l.b.Unit = true
			l.op(100, 7, 0, change.Upsert, "2", "c")
			l.commit(120, 0, 2, 3)
		}, "with 2 and 2 rows"},
		{"rows are known where nothing is idempotent", func(l *log) {
			l.op(100, 7, 0, change.Insert, "2", "c")
			l.commit(100, 7, 2, -1)
		}, "with 2 and 2 rows"},
		{"what is aborted does not count, and its offsets come again", func(l *log) {
			l.b.Unit = true
			l.op(100, 7, 0, change.Upsert, "1", "x")
			l.op(150, 8, 0, change.Discard, "1")
			l.abort()
			l.op(100, 7, 0, change.Upsert, "2", "c")
			l.commit(120, 0, 2, 2)
		}, `"1","a", "2","c",`},
		{"offsets that count increase", func(l *log) {
			l.op(100, 7, 0, change.Insert, "2", "c")
			l.commit(100, 7, 2, 2)
			l.op(100, 8, 2, change.Insert, "3", "c")
		}, "offset 100_2 after 100_2"},
		{"what was deferred follows under the unit's LSN", func(l *log) {
			l.b.Unit = true
			l.op(100, 7, 0, change.Upsert, "2", "c")
			l.commit(120, 0, 2, -1)
			l.b.Unit = false
			l.op(120, 6, 4, change.Insert, "3", "d")
			l.commit(120, 6, 6, -1)
			l.op(120, 5, 8, change.Insert, "4", "e")
			l.commit(120, 5, 10, 4)
		}, `"1","a", "2","c", "3","d", "4","e",`},
		{"two transactions of one LSN each have a marker", func(l *log) {
			l.op(120, 6, 4, change.Insert, "3", "d")
			l.op(120, 5, 8, change.Insert, "4", "e")
		}, "begins inside"},
		{"a transaction does not begin inside a unit", func(l *log) {
			l.b.Unit = true
			l.op(120, 6, 4, change.Upsert, "3", "d")
			l.b.Finish()
			l.b.Unit = false
			l.op(120, 6, 8, change.Insert, "4", "e")
		}, "begins inside"},
		{"idempotent ops stand in units only", func(l *log) { l.op(120, 6, 4, change.Upsert, "3", "d") }, "outside of a unit"},
		{"what is deferred is before the commit", func(l *log) {
			l.commit(120, 6, 6, 1)
			l.tail.Deferred = "130"
		}, "not before its commit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newReplay(control.Shape{HasKey: true, Columns: []control.Column{{Name: "id", Key: true}, {Name: "v"}}})
			r.began = true
			if err := r.gather(change.Insert, change.Row{[]byte("1"), []byte("a")}); err != nil {
				t.Fatal(err)
			}
			if err := r.mark(); err != nil {
				t.Fatal(err)
			}
			l := &log{b: wire.NewLogBuilder(), tail: wire.Tail{Began: true, Rows: 1, CommittedRows: 1}}
			c.write(l)
			var d wire.LogDecoder
			err := r.message(&d, l.tail, bytes.Clone(l.b.Finish()), func(e *wire.Entry) error { return r.entry(t.Context(), nil, "", e) })
			got := text1(r)
			if err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, c.rows) || err == nil && got != c.rows {
				t.Errorf("got %s, want %s", got, c.rows)
			}
		})
	}
}

func text1(r *replay) string {
	var out []string
	for _, k := range []string{"1", "2", "3", "4"} {
		out = append(out, r.rows[text(change.Row{[]byte(k)})]...)
	}
	return strings.Join(out, " ")
}
