package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shapebus/shapebus/internal/term"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

type shapeCreateCmd struct {
	clientFlags
	definitionFlags

	Table   string        `arg:"" help:"Table, as SQL writes it: tasks, public.tasks or '\"My Table\"'."`
	NoWait  bool          `env:"-" help:"Return at once instead of when the shape is live. Default: wait."`
	Timeout time.Duration `env:"-" default:"5m" help:"How long to wait while nothing gets on; 0 is for ever (default ${default})."`
	JSON    bool          `env:"-" name:"json" help:"Print the shape as one JSON document. Default: its handle."`
}

// Run creates the shape and waits until it is live.
func (c *shapeCreateCmd) Run(ctx context.Context, out *console) error {
	return c.with(ctx, out, "shape create", func(ctx context.Context, cl *client.Client) error {
		s, err := c.create(ctx, cl, c.Table)
		if err != nil {
			return err
		}
		info := s.Info()
		if !c.NoWait {
			if info, err = waitLive(ctx, out, cl, s, c.Timeout); err != nil {
				return err
			}
		}
		if c.JSON {
			return printJSON(out.stdout, info)
		}
		if _, err := fmt.Fprintln(out.stdout, info.Handle); err != nil {
			return err
		}
		_, err = fmt.Fprintf(out.stderr, "%s is %s, %s; follow it: shapebus shape tail %s\n", describe(info), info.State, rowsPhrase(info), info.Handle)
		return err
	})
}

// lookEvery is how often a shape is looked at that is being created.
const lookEvery = 200 * time.Millisecond

// standstill is a creation that does not get on.
type standstill struct {
	rows, lag int64
	reason    string
	since     time.Time
}

// see takes another look, and returns for how long all has been as it is.
func (s *standstill) see(info control.Shape, now time.Time) time.Duration {
	if s.since.IsZero() || info.SnapshotRows != s.rows || info.LagBytes != s.lag || info.Reason != s.reason {
		*s = standstill{info.SnapshotRows, info.LagBytes, info.Reason, now}
	}
	return now.Sub(s.since)
}

// askAfter is how long a creation may stand still without a reason before somebody is asked for one.
const askAfter = 3 * time.Second

// holdUp is what a creation may wait for that does not say so itself; "" if nothing is known.
func holdUp(s control.Status) string {
	switch {
	case len(s.Problems) > 0:
		return s.Problems[0]
	case s.SlotError != "":
		return s.SlotError
	case !s.SlotActive:
		return "nobody reads the replication slot " + s.Slot + ": start shapebus ingest"
	case len(s.Down) > 0:
		return fmt.Sprintf("partition %d cannot be written: %s", s.Down[0].Partition, s.Down[0].Reason)
	}
	return ""
}

// waitLive waits for the end of a shape's creation, showing its progress and what it waits for. Leaving it does not stop the
// creation.
func waitLive(ctx context.Context, out *console, cl *client.Client, s *client.Shape, timeout time.Duration) (control.Shape, error) {
	line := term.NewProgress(out.stderr, out.stderrTTY)
	defer line.Clear()
	start := time.Now()
	rows, grown := int64(0), start // the last number of rows that differed, and since when
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	said := ""
	var still standstill
	asked := false
	for info := s.Info(); ; {
		switch info.State {
		case control.StateLive:
			return info, nil
		case control.StateEnded, control.StateDeleting:
			return info, fmt.Errorf("shape %s has ended: %s; create it again", info.Handle, info.Reason)
		case control.StateCreating:
		}
		if info.Reason != "" && info.Reason != said {
			line.Clear()
			said = info.Reason
			fmt.Fprintf(out.stderr, "waiting: %s\n", term.Printable(said))
		}
		now := time.Now()
		stands := still.see(info, now)
		if stands > askAfter && !asked && info.Reason == "" {
			asked = true
			asking, enough := context.WithTimeout(ctx, askAfter)
			status, err := cl.Status(asking)
			enough()
			if err == nil && holdUp(status) != "" {
				line.Clear()
				said = holdUp(status)
				fmt.Fprintf(out.stderr, "waiting: %s\n", term.Printable(said))
			}
		}
		if timeout > 0 && stands > timeout {
			return info, fmt.Errorf("shape %s has not got on for %s, last reason: %s; it is still being created, see shapebus shape get and shapebus status", info.Handle, timeout, cmp.Or(said, "none is known"))
		}
		if info.SnapshotRows != rows {
			rows, grown = info.SnapshotRows, now
		}
		if line.Due(now) {
			line.Draw(now, "snapshot: %s, %s · %s of changes to catch up with", term.Plural(rows, "row"), term.Rate(rows, grown.Sub(start)), term.Size(info.LagBytes))
		}
		select {
		case <-ctx.Done():
			return info, errors.New("stopped waiting; the shape is still being created, see shapebus shape get " + info.Handle)
		case <-tick.C:
		}
		next, err := s.Refresh(ctx)
		switch refusal, ok := errors.AsType[*client.RequestError](err); {
		case err == nil:
			info = next
		case ctx.Err() != nil, ok && refusal.Temporary(): // asked again, or told above
		default:
			return info, err
		}
	}
}
