package live

import (
	"log/slog"
	"maps"
	"slices"
	"testing"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/control"
)

// What a session remembers of shapes that ended does not grow with every shape that ever ended.
func TestEndsAreForgottenOnceTheirRecordsSaySo(t *testing.T) {
	l := NewLoop(&Config{}, &Stats{}, slog.New(slog.DiscardHandler))
	const a, b, c = "00000000000000aa", "00000000000000bb", "00000000000000cc"
	for _, id := range []string{a, b, c} {
		l.NoteRecord(id, &registry.Shape{ID: id, Handle: id + "-1", State: control.StateCreating})
		l.Finished[id+"-1"] = true
	}
	left := func() []string { return slices.Sorted(maps.Keys(l.Finished)) }
	if l.ForgetFinished(); len(left()) != 3 {
		t.Errorf("ends are forgotten that their records do not tell: %q are left", left())
	}
	l.NoteRecord(a, nil)
	l.NoteRecord(b, &registry.Shape{ID: b, Handle: b + "-1", State: control.StateEnded})
	l.NoteRecord(c, &registry.Shape{ID: c, Handle: c + "-2", State: control.StateCreating})
	if l.ForgetFinished(); len(left()) != 0 {
		t.Errorf("%q are remembered", left())
	}
}
