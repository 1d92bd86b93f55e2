package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shapebus/shapebus/internal/term"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

type statusCmd struct {
	clientFlags

	JSON bool `env:"-" name:"json" help:"Print one JSON document. Default: text."`
}

// Run shows the source and its shapes.
func (c *statusCmd) Run(ctx context.Context, out *console) error {
	return c.with(ctx, out, "status", func(ctx context.Context, cl *client.Client) error {
		status, err := cl.Status(ctx)
		if err != nil {
			return err
		}
		shapes, err := cl.List(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			if shapes == nil {
				shapes = []control.Shape{}
			}
			return printJSON(out.stdout, map[string]any{"source": status, "shapes": shapes})
		}
		if err := printStatus(out.stdout, status); err != nil || len(shapes) == 0 {
			return err
		}
		if _, err := fmt.Fprintln(out.stdout); err != nil {
			return err
		}
		return printShapes(out.stdout, shapes)
	})
}

func printStatus(w io.Writer, s control.Status) error {
	t := newTable(w)
	t.line("source", "%s, %s, consumer version %s", s.Source, term.Plural(s.Partitions, "partition"), s.Version)
	t.line("publication", "%s", s.Publication)
	slot := "nobody reads it: is shapebus ingest running?"
	if s.SlotActive {
		slot = "in use"
	}
	t.line("slot", "%s, %s", s.Slot, slotText(s, slot))
	t.line("change log", "%s, %s, up to %s%s", term.Plural(s.ChangeMessages, "message"), term.Size(int64(s.ChangeBytes)), s.ChangeLSN, lastChange(s.ChangeAt, time.Now()))
	lag := ""
	if s.Unread > 0 {
		lag = fmt.Sprintf(", %.1f s and %s of WAL behind", s.LagSeconds, term.Size(s.LagBytes))
	}
	t.line("consumer", "applied up to %s, %s to read%s", s.AppliedLSN, term.Plural(s.Unread, "message"), lag)
	for _, o := range ownersText(s.Owners) {
		t.line("partitions", "%s", o)
	}
	for _, p := range s.Problems {
		t.line("PROBLEM", "%s", p)
	}
	for _, d := range s.Down {
		t.line("partition down", "%d, since %s: %s", d.Partition, d.Since.Format(time.RFC3339), d.Reason)
	}
	t.line("shapes", "%s", shapesText(s.Shapes))
	if s.Unreadable > 0 {
		t.line("unreadable", "%s of shapes; the consumer's log says what to remove", term.Plural(s.Unreadable, "record"))
	}
	return t.end()
}

// slotText says how the slot is; use is who reads it.
func slotText(s control.Status, use string) string {
	switch {
	case s.SlotError != "":
		return s.SlotError
	case s.SlotLost != "":
		return "LOST: " + s.SlotLost + "; shapes are fetched again"
	}
	text := fmt.Sprintf("%s, confirmed %s, Postgres keeps %s of WAL for it", use, s.SlotConfirmed, term.Size(s.SlotLagBytes))
	if s.SlotWALStatus != "" {
		text += " (" + s.SlotWALStatus + ")"
	}
	if s.SlotWALStatus != "" && s.SlotSafeBytes >= 0 {
		text += fmt.Sprintf(", in danger after %s more", term.Size(s.SlotSafeBytes))
	}
	return text
}

// lastChange says when the last message came.
func lastChange(at, now time.Time) string {
	if at.IsZero() {
		return ""
	}
	return fmt.Sprintf(", the last one %s ago", now.Sub(at).Round(time.Second))
}

// ownersText says who has which partitions, a line for each process.
func ownersText(owners []control.PartitionOwner) []string {
	by := map[string][]string{}
	lag := map[string]int64{}
	note := func(who string, o control.PartitionOwner) {
		by[who] = append(by[who], strconv.Itoa(o.Partition))
		lag[who] = max(lag[who], o.LagBytes)
	}
	for _, o := range owners {
		note("consumer "+cmp.Or(o.Consumer, "(nobody)"), o)
		if o.Materializer != "" {
			note("materializer "+o.Materializer, o)
		}
	}
	lines := make([]string, 0, len(by))
	for _, who := range slices.Sorted(maps.Keys(by)) {
		text := fmt.Sprintf("%s by %s", strings.Join(by[who], " "), who)
		if strings.HasPrefix(who, "consumer") {
			text += fmt.Sprintf(", at most %s of WAL behind", term.Size(lag[who]))
		}
		lines = append(lines, text)
	}
	return lines
}

func shapesText(counts map[control.State]int) string {
	var parts []string
	for state, n := range counts {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
