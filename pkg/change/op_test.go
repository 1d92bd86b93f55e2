package change_test

import (
	"bytes"
	"testing"

	"github.com/shapebus/shapebus/pkg/change"
)

func TestUnchangedIsNoValueThatARowCanHold(t *testing.T) {
	if !change.IsUnchanged(change.Unchanged()) {
		t.Error("Unchanged is not recognised")
	}
	for name, value := range map[string][]byte{
		"NULL":                             nil,
		"the empty string":                 {},
		"a text with the marker's content": bytes.Clone(change.Unchanged()),
	} {
		if change.IsUnchanged(value) {
			t.Errorf("%s is taken for an unchanged value", name)
		}
	}
}

func TestKindsPrintAsWords(t *testing.T) {
	for kind, want := range map[change.Kind]string{
		change.Insert: "insert", change.Update: "update", change.Delete: "delete", change.Truncate: "truncate", 9: "kind 9",
	} {
		if got := kind.String(); got != want {
			t.Errorf("kind %d prints as %q, want %q", uint8(kind), got, want)
		}
	}
}

func TestMarkerStandsBehindTheLastOp(t *testing.T) {
	f := change.Fragment{LSN: 100, Last: true, End: 6, Ops: []change.Op{{Index: 2}, {Index: 4}}}
	last := change.Offset{LSN: f.LSN, Op: f.Ops[1].Index}
	if m := f.Marker(); m != (change.Offset{LSN: 100, Op: 6}) || !last.Before(m) {
		t.Errorf("marker %s, want 100_6, behind %s", m, last)
	}
}
