package course

import (
	"errors"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/live"
)

func TestHowAShapeGoesOnWhenItsPartitionIsTakenOver(t *testing.T) {
	plain := func(state control.State) *registry.Shape {
		return &registry.Shape{Handle: "h", State: state, Reason: "why", SnapshotLSN: 50}
	}
	outer := func(state control.State) *registry.Shape {
		rec := plain(state)
		rec.Subqueries = []registry.Subquery{{Handle: "inner"}}
		return rec
	}
	began := wire.Tail{Began: true}
	at := func(lsn change.LSN, deferred string) wire.Tail {
		return wire.Tail{Began: true, Committed: change.Offset{LSN: lsn}, Deferred: deferred}
	}
	cp := wire.Checkpoint{LSN: 100, Seq: 10, FloorLSN: 90, FloorSeq: 8}
	behind := wire.Checkpoint{LSN: 100, Seq: 10, FloorLSN: 70, FloorSeq: 7, Parked: []wire.ParkedAt{{LSN: 80, Deferred: "", Handles: []string{"h"}}}}
	tests := []struct {
		name string
		s    Standing
		want Route
	}{
		{"a live shape goes on from the checkpoint", Standing{Record: plain(control.StateLive), Tail: began, Checkpoint: cp}, Route{Course: Follow}},
		{"one of another history ends", Standing{Record: plain(control.StateLive), Tail: began, Other: "why"}, Route{Course: End, Reason: "why"}},
		{"unless it has not begun", Standing{Record: plain(control.StateCreating), Other: "why"}, Route{Course: Create}},
		{"an outer one of another history ends", Standing{Record: outer(control.StateLive), Tail: at(60, ""), Other: "why"}, Route{Course: End, Reason: "why"}},
		{"one whose log is gone ends", Standing{Record: plain(control.StateLive), Checkpoint: cp}, Route{Course: End, Reason: reasonLost}},
		{"one whose checkpoint is gone catches up", Standing{Record: plain(control.StateLive), Tail: began, Checkpoint: wire.Checkpoint{LSN: 40}}, Route{Course: Uncover}},
		{"a new shape begins", Standing{Record: plain(control.StateCreating), Checkpoint: cp}, Route{Course: Create}},
		{"a shape with its rows catches up", Standing{Record: plain(control.StateCreating), Tail: began, Checkpoint: cp}, Route{Course: Create}},
		{"a shape that is to go ends", Standing{Record: plain(control.StateDeleting), Tail: began, Checkpoint: cp}, Route{Course: End, Reason: live.ReasonDeleted}},
		{"a last word without the record's end is completed", Standing{Record: plain(control.StateLive), Tail: wire.Tail{Began: true, Ended: true}, Checkpoint: cp}, Route{Course: End, Reason: "the shape had ended before a restart"}},
		{"a record's end without a last word is completed", Standing{Record: plain(control.StateEnded), Tail: began, Checkpoint: cp}, Route{Course: End, Reason: "why"}},
		{"what has ended stays so", Standing{Record: plain(control.StateEnded), Tail: wire.Tail{Ended: true}, Checkpoint: cp}, Route{}},
		{"a new outer shape begins", Standing{Record: outer(control.StateCreating), Checkpoint: cp}, Route{Course: Begin}},
		{"a live outer shape stands at the checkpoint", Standing{Record: outer(control.StateLive), Tail: at(60, ""), Checkpoint: cp}, Route{Course: Group, At: 100}},
		{"or at its last marker if that is later", Standing{Record: outer(control.StateLive), Tail: at(120, "0/3"), Checkpoint: cp}, Route{Course: Group, At: 120, Deferred: "0/3"}},
		{"or where the checkpoint has it parked", Standing{Record: outer(control.StateLive), Tail: at(60, ""), Checkpoint: behind}, Route{Course: Group, At: 80}},
		{"one that is being created, at its marker", Standing{Record: outer(control.StateCreating), Tail: at(110, ""), Checkpoint: cp}, Route{Course: Group, At: 110}},
		{"an outer shape without a place ends", Standing{Record: outer(control.StateCreating), Tail: began}, Route{Course: End, Reason: reasonLost}},
		{"an outer shape whose log is gone ends", Standing{Record: outer(control.StateLive), Checkpoint: cp}, Route{Course: End, Reason: reasonLost}},
		{"a shape that is to go ends whatever its log's end is", Standing{Record: plain(control.StateDeleting), Bad: errors.New("x"), Checkpoint: cp}, Route{Course: End, Reason: live.ReasonDeleted}},
		{"what has ended stays so whatever its log's end is", Standing{Record: plain(control.StateEnded), Bad: errors.New("x"), Checkpoint: cp}, Route{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Of(test.s); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
	got := Of(Standing{Record: plain(control.StateLive), Bad: errors.New("nonsense"), Checkpoint: cp})
	if got.Course != End || !strings.Contains(got.Reason, "nonsense") || !strings.Contains(got.Reason, "create it again") {
		t.Errorf("a shape whose log's end cannot be read: %+v", got)
	}
}
