package oracle

import (
	"fmt"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// show prints the log of a shape, so that a person can see what the judge means.
func show(t *testing.T, r *Recording, handle string) {
	t.Helper()
	for _, rec := range r.Shapes {
		if !strings.HasPrefix(rec.Log.Shape.Handle, handle) {
			continue
		}
		for i, m := range rec.Log.Messages {
			t.Logf("message %d, tail %s", i, m.Tail)
			var d wire.LogDecoder
			if err := d.Decode(m.Data, func(e *wire.Entry) error {
				t.Log(describe(e))
				for _, op := range e.Ops {
					t.Logf("\t\t%d %s %s", op.Index, op.Kind, short(op.Row))
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
		}
	}
}

func describe(e *wire.Entry) string {
	switch e.Kind {
	case wire.EntrySegment:
		return fmt.Sprintf("\tsegment of %d rows, snapshot %s at %s", e.Rows, e.Snapshot, e.LSN)
	case wire.EntryEnd:
		return "\tend: " + e.Reason
	case wire.EntryAbort:
		return "\tvoid"
	case wire.EntryOps, wire.EntryUnit:
	}
	s := fmt.Sprintf("\ttransaction %d at %d (%s)", e.XID, e.LSN, e.LSN)
	if e.Kind == wire.EntryUnit {
		s += ", in a unit"
	}
	if e.Last {
		s += fmt.Sprintf(", marker %d", e.End)
	}
	return s
}

// short is a row with its large values cut.
func short(row change.Row) string {
	const most = 40
	var out []string
	for _, v := range row {
		switch {
		case v == nil:
			out = append(out, "NULL")
		case len(v) > most:
			out = append(out, fmt.Sprintf("%q…", v[:most]))
		default:
			out = append(out, fmt.Sprintf("%q", v))
		}
	}
	return strings.Join(out, " ")
}
