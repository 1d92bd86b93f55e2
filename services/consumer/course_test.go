package consumer

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
	at := func(lsn change.LSN, aside string) wire.Tail {
		return wire.Tail{Began: true, Committed: change.Offset{LSN: lsn}, Aside: aside}
	}
	cp := wire.Checkpoint{LSN: 100, Seq: 10, FloorLSN: 90, FloorSeq: 8}
	behind := wire.Checkpoint{LSN: 100, Seq: 10, FloorLSN: 70, FloorSeq: 7, Parked: []wire.ParkedAt{{LSN: 80, Aside: "", Handles: []string{"h"}}}}
	tests := []struct {
		name string
		s    standing
		want route
	}{
		{"a live shape goes on from the checkpoint", standing{rec: plain(control.StateLive), tail: began, cp: cp}, route{course: courseFollow}},
		{"one of another history ends", standing{rec: plain(control.StateLive), tail: began, other: "why"}, route{course: courseEnd, reason: "why"}},
		{"unless it has not begun", standing{rec: plain(control.StateCreating), other: "why"}, route{course: courseCreate}},
		{"an outer one of another history ends", standing{rec: outer(control.StateLive), tail: at(60, ""), other: "why"}, route{course: courseEnd, reason: "why"}},
		{"one whose log is gone ends", standing{rec: plain(control.StateLive), cp: cp}, route{course: courseEnd, reason: reasonLost}},
		{"one whose checkpoint is gone catches up", standing{rec: plain(control.StateLive), tail: began, cp: wire.Checkpoint{LSN: 40}}, route{course: courseUncover}},
		{"a new shape begins", standing{rec: plain(control.StateCreating), cp: cp}, route{course: courseCreate}},
		{"a shape with its rows catches up", standing{rec: plain(control.StateCreating), tail: began, cp: cp}, route{course: courseCreate}},
		{"a shape that is to go ends", standing{rec: plain(control.StateDeleting), tail: began, cp: cp}, route{course: courseEnd, reason: live.ReasonDeleted}},
		{"a last word without the record's end is completed", standing{rec: plain(control.StateLive), tail: wire.Tail{Began: true, Ended: true}, cp: cp}, route{course: courseEnd, reason: "the shape had ended before a restart"}},
		{"a record's end without a last word is completed", standing{rec: plain(control.StateEnded), tail: began, cp: cp}, route{course: courseEnd, reason: "why"}},
		{"what has ended stays so", standing{rec: plain(control.StateEnded), tail: wire.Tail{Ended: true}, cp: cp}, route{}},
		{"a new outer shape begins", standing{rec: outer(control.StateCreating), cp: cp}, route{course: courseBegin}},
		{"a live outer shape stands at the checkpoint", standing{rec: outer(control.StateLive), tail: at(60, ""), cp: cp}, route{course: courseGroup, at: 100}},
		{"or at its last marker if that is later", standing{rec: outer(control.StateLive), tail: at(120, "0/3"), cp: cp}, route{course: courseGroup, at: 120, aside: "0/3"}},
		{"or where the checkpoint has it parked", standing{rec: outer(control.StateLive), tail: at(60, ""), cp: behind}, route{course: courseGroup, at: 80}},
		{"one that is being created, at its marker", standing{rec: outer(control.StateCreating), tail: at(110, ""), cp: cp}, route{course: courseGroup, at: 110}},
		{"an outer shape without a place ends", standing{rec: outer(control.StateCreating), tail: began}, route{course: courseEnd, reason: reasonLost}},
		{"an outer shape whose log is gone ends", standing{rec: outer(control.StateLive), cp: cp}, route{course: courseEnd, reason: reasonLost}},
		{"a shape that is to go ends whatever its log's end is", standing{rec: plain(control.StateDeleting), bad: errors.New("x"), cp: cp}, route{course: courseEnd, reason: live.ReasonDeleted}},
		{"what has ended stays so whatever its log's end is", standing{rec: plain(control.StateEnded), bad: errors.New("x"), cp: cp}, route{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.s.route(); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
	got := standing{rec: plain(control.StateLive), bad: errors.New("nonsense"), cp: cp}.route()
	if got.course != courseEnd || !strings.Contains(got.reason, "nonsense") || !strings.Contains(got.reason, "create it again") {
		t.Errorf("a shape whose log's end cannot be read: %+v", got)
	}
}
