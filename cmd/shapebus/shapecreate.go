package main

import (
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

	Table  string `arg:"" help:"Table, as SQL writes it: tasks, public.tasks or '\"My Table\"'."`
	NoWait bool   `env:"-" help:"Return at once instead of when the shape is live. Default: wait."`
	JSON   bool   `env:"-" name:"json" help:"Print the shape as one JSON document. Default: its handle."`
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
			if info, err = waitLive(ctx, out, s); err != nil {
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

// waitLive waits for the end of a shape's creation, showing its progress. Leaving it does not stop the creation.
func waitLive(ctx context.Context, out *console, s *client.Shape) (control.Shape, error) {
	line := term.NewProgress(out.stderr, out.stderrTTY)
	defer line.Clear()
	start := time.Now()
	rows, grown := int64(0), start // the last number of rows that differed, and since when
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	said := ""
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
