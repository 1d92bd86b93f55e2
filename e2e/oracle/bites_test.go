package oracle

import (
	"slices"
	"testing"

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
				if i >= 0 {
					e.Ops = slices.Delete(slices.Clone(e.Ops), i, i+1)
				}
				return i >= 0
			})
		}},
		{"a value in a log is another one", func(t *testing.T, r *Recording) {
			t.Helper()
			edit(t, r, func(e *wire.Entry) bool {
				for _, op := range e.Ops {
					if op.Kind == change.Insert {
						op.Row[len(op.Row)-1] = []byte("another")
						return true
					}
				}
				return false
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

// edit changes the log of the first shape that can be changed so. change says
// whether it did.
func edit(t *testing.T, r *Recording, change func(*wire.Entry) bool) {
	t.Helper()
	for i, rec := range r.Shapes {
		if rec.Kind == Nested {
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
	t.Fatal("no log can be changed so")
}
