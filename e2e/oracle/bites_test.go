package oracle

import (
	"maps"
	"slices"
	"testing"

	"github.com/shapebus/shapebus/e2e/logcheck"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
	"github.com/shapebus/shapebus/pkg/wire"
)

// bites makes mistakes in a recording that was found right, and wants each to
// be noticed: a judge that nobody fails proves nothing.
func bites(t *testing.T, good *Recording) {
	t.Helper()
	for _, m := range []struct {
		name    string
		mistake func(*testing.T, *Recording)
	}{
		{"an op of a log is missing", func(t *testing.T, r *Recording) {
			t.Helper()
			edit(t, r, func(e *wire.Entry) bool {
				i := slices.IndexFunc(e.Ops, func(op wire.LogOp) bool { return op.Kind == change.Insert })
				if i < 0 || !e.Last && len(e.Ops) == 1 { // nothing would be left of the entry
					return false
				}
				e.Ops = slices.Delete(slices.Clone(e.Ops), i, i+1)
				return true
			})
		}},
		{"a value in a log is another one", func(t *testing.T, r *Recording) {
			t.Helper()
			edit(t, r, func(e *wire.Entry) bool {
				// Nothing else in its transaction may put it right.
				if e.Kind != wire.EntryOps || !e.Last || len(e.Ops) != 1 || e.Ops[0].Kind != change.Insert {
					return false
				}
				row := slices.Clone(e.Ops[0].Row)
				row[len(row)-1] = []byte("another")
				e.Ops[0].Row = row
				return true
			})
		}},
		{"a transaction's marker is missing", func(t *testing.T, r *Recording) {
			t.Helper()
			edit(t, r, func(e *wire.Entry) bool {
				was := e.Last && len(e.Ops) > 0
				e.Last = e.Last && !was
				return was
			})
		}},
		{"a transaction is not applied", func(t *testing.T, r *Recording) {
			t.Helper()
			var lsn change.LSN
			edit(t, r, func(e *wire.Entry) bool {
				found := e.Kind == wire.EntryOps && e.Last && len(e.Ops) == 1 && e.Ops[0].Kind == change.Insert
				lsn = e.LSN
				return found
			})
			r.Txns = slices.DeleteFunc(slices.Clone(r.Txns), func(x Txn) bool { return x.LSN == lsn })
		}},
		{"what a unit defers is said to be in it", func(t *testing.T, r *Recording) {
			t.Helper()
			r.Shapes = slices.Clone(r.Shapes)
			some := false
			for i, rec := range r.Shapes {
				if log, found := withoutDeferred(t, r, rec.Log); found && rec.Kind == Outer {
					r.Shapes[i] = &Record{Kind: rec.Kind, Rest: rec.Rest, Log: log}
					some = true
				}
			}
			if !some {
				t.Skip("no deferred transaction made a difference in this run")
			}
		}},
		{"what a snapshot does not see is applied early", func(t *testing.T, r *Recording) {
			t.Helper()
			edit(t, r, func(e *wire.Entry) bool {
				if e.Kind != wire.EntrySegment || e.Snapshot == "" {
					return false
				}
				e.Snapshot = "1:1:" // sees nothing that it read
				return e.Rows > 0
			})
		}},
		{"a reader held something else", func(t *testing.T, r *Recording) {
			t.Helper()
			for i, rec := range r.Shapes {
				for at := range rec.Reads {
					r.Shapes = slices.Clone(r.Shapes)
					r.Shapes[i] = &Record{Kind: rec.Kind, Rest: rec.Rest, Log: rec.Log, Reads: maps.Clone(rec.Reads)}
					r.Shapes[i].Reads[at]++
					return
				}
			}
			t.Skip("nobody read a shape in this run")
		}},
	} {
		t.Run(m.name, func(t *testing.T) {
			bad := *good
			m.mistake(t, &bad)
			v, err := judge(t.Context(), pgtest.Database(t), &bad)
			switch {
			case err != nil:
				t.Log(err)
			case len(v.wrong) == 0:
				t.Error("the judge found nothing wrong")
			default:
				t.Log(v.wrong[0])
			}
		})
	}
}

// withoutDeferred is a log whose tails defer nothing, if something that they
// do defer changed the shape later.
func withoutDeferred(t *testing.T, r *Recording, log *logcheck.Log) (out *logcheck.Log, found bool) {
	t.Helper()
	deferred := map[change.XID]bool{}
	out = &logcheck.Log{Shape: log.Shape, Segments: log.Segments}
	var d wire.LogDecoder
	for _, m := range log.Messages {
		tail, err := wire.ParseTail(m.Tail)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Decode(m.Data, func(e *wire.Entry) error {
			found = found || deferred[e.XID] && e.Kind == wire.EntryOps && len(e.Ops) > 0
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		lsns, err := wire.ParseDeferred(tail.Deferred)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range r.Txns {
			if slices.Contains(lsns, x.LSN) {
				deferred[x.XID] = true
			}
		}
		tail.Deferred = ""
		out.Messages = append(out.Messages, logcheck.Message{Tail: tail.String(), Data: m.Data})
	}
	return out, found
}

// edit changes the log of the first shape that can be changed so. change says
// whether it did.
func edit(t *testing.T, r *Recording, change func(*wire.Entry) bool) {
	t.Helper()
	for i, rec := range r.Shapes {
		if rec.Kind != Plain {
			continue
		}
		done := false
		log, err := rec.Log.Edit(func(e *wire.Entry) bool {
			if !done {
				done = change(e)
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		if done {
			r.Shapes = slices.Clone(r.Shapes)
			r.Shapes[i] = &Record{Kind: rec.Kind, Rest: rec.Rest, Log: log}
			return
		}
	}
	t.Skip("this run has no log that can be changed so")
}
