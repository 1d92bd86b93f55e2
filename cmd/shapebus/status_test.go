package main

import (
	"testing"
	"time"

	"github.com/shapebus/shapebus/pkg/control"
)

func TestStatusSaysHowTheSlotIs(t *testing.T) {
	for _, c := range []struct {
		name   string
		status control.Status
		want   string
	}{
		{
			"it is well",
			control.Status{SlotConfirmed: 0x20, SlotLagBytes: 2048, SlotWALStatus: "reserved", SlotSafeBytes: -1},
			"in use, confirmed 0/20, Postgres keeps 2.0 KiB of WAL for it (reserved)",
		},
		{
			"there is a limit to the WAL",
			control.Status{SlotConfirmed: 0x20, SlotLagBytes: 2048, SlotWALStatus: "extended", SlotSafeBytes: 1024},
			"in use, confirmed 0/20, Postgres keeps 2.0 KiB of WAL for it (extended), in danger after 1.0 KiB more",
		},
		{
			"it is lost",
			control.Status{SlotWALStatus: "lost", SlotLost: "Postgres has removed WAL that ingest had not read"},
			"LOST: Postgres has removed WAL that ingest had not read; shapes are fetched again",
		},
		{"it is not known", control.Status{SlotError: "no connection"}, "no connection"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := slotText(c.status, "in use"); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestStatusSaysWhenTheLastChangeCame(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if got := lastChange(now.Add(-90*time.Second), now); got != ", the last one 1m30s ago" {
		t.Errorf("got %q", got)
	}
	if got := lastChange(time.Time{}, now); got != "" {
		t.Errorf("without one: got %q", got)
	}
}
