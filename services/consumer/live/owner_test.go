package live

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// holder is an owner of one shape.
type holder struct {
	handle string
	ended  []string
}

func (h *holder) Handle(string) string       { return h.handle }
func (h *holder) State(string) control.State { return control.StateLive }
func (h *holder) Watch(string, string) bool  { return false }
func (h *holder) End(_ context.Context, id, reason string, keep bool) error {
	h.ended = append(h.ended, fmt.Sprint(id, " ", reason, " ", keep))
	return nil
}

func TestAShapeIsEndedByWhoeverHoldsIt(t *testing.T) {
	l := NewLoop(&Config{}, &Stats{}, slog.New(slog.DiscardHandler))
	h := &holder{handle: "id-2"}
	l.elsewhere["id"] = h
	follower := func(handle string) *follow.Follower {
		return &follow.Follower{ID: "id", Log: shapelog.Log{Handle: handle}}
	}
	for _, tt := range []struct {
		name string
		end  func() error
		want int
	}{
		{"one that has left the main loop", func() error { return l.endLive(t.Context(), follower("id-2"), "why") }, 1},
		{"an earlier life of it", func() error { return l.endLive(t.Context(), follower("id-1"), "why") }, 1},
		{"whichever life it has", func() error { return l.EndRunning(t.Context(), "id", "why", true) }, 2},
		{"one that nobody holds", func() error { return l.EndRunning(t.Context(), "another", "why", true) }, 2},
	} {
		if err := tt.end(); err != nil || len(h.ended) != tt.want {
			t.Errorf("%s: ended %q, error %v", tt.name, h.ended, err)
		}
	}
	if len(h.ended) > 0 && h.ended[0] != "id why true" {
		t.Errorf("ended %q", h.ended[0])
	}
}
