package main

import (
	"strings"
	"testing"
	"time"

	"github.com/shapebus/shapebus/pkg/control"
)

func TestACreationStandsStillWhenNothingChanges(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var s standstill
	for _, look := range []struct {
		info  control.Shape
		still time.Duration
	}{
		{control.Shape{}, 0},
		{control.Shape{}, time.Second},
		{control.Shape{SnapshotRows: 5}, 0},
		{control.Shape{SnapshotRows: 5}, time.Second},
		{control.Shape{SnapshotRows: 5, LagBytes: 9}, 0},
		{control.Shape{SnapshotRows: 5, LagBytes: 9, Reason: "locked"}, 0},
		{control.Shape{SnapshotRows: 5, LagBytes: 9, Reason: "locked"}, time.Second},
	} {
		if still := s.see(look.info, now); still != look.still {
			t.Errorf("%+v stands still for %s, want %s", look.info, still, look.still)
		}
		now = now.Add(time.Second)
	}
}

func TestWhatHoldsACreationUp(t *testing.T) {
	for want, status := range map[string]control.Status{
		"start shapebus ingest":         {Slot: "s"},
		"a standby is down":             {SlotActive: true, Problems: []string{"a standby is down"}},
		"no connection":                 {SlotError: "no connection"},
		"partition 3 cannot be written": {SlotActive: true, Down: []control.PartitionDown{{Partition: 3, Reason: "full"}}},
	} {
		if got := holdUp(status); !strings.Contains(got, want) {
			t.Errorf("%+v: %q, want %q", status, got, want)
		}
	}
	if got := holdUp(control.Status{SlotActive: true}); got != "" {
		t.Errorf("nothing is wrong, and it says %q", got)
	}
}
