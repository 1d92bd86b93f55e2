package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/shapebus/shapebus/internal/term"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

type shapeTopCmd struct {
	clientFlags

	By    string `env:"-" default:"cpu" enum:"cpu,bytes,log" help:"What counts: cpu (judging changes), bytes (written a second), or log (the size of the log) (default ${default})."`
	Limit int    `env:"-" default:"20" help:"How many shapes to show, 1 to 50 (default ${default})."`
	JSON  bool   `env:"-" name:"json" help:"Print one JSON document. Default: a table."`
}

// byLog is the one thing that the control plane's list tells and not its top.
const byLog = "log"

// Run shows the shapes that cost most.
func (c *shapeTopCmd) Run(ctx context.Context, out *console) error {
	return c.with(ctx, out, "shape top", func(ctx context.Context, cl *client.Client) error {
		var top control.TopResponse
		var err error
		if c.By == byLog {
			top, err = c.largest(ctx, cl)
		} else {
			top, err = cl.Top(ctx, c.By, c.Limit)
		}
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(out.stdout, top)
		}
		return printTop(out.stdout, top)
	})
}

// largest lists all shapes, and finds those with the largest logs. What they cost else is added where it is known.
func (c *shapeTopCmd) largest(ctx context.Context, cl *client.Client) (control.TopResponse, error) {
	const most = 50
	if c.Limit < 1 || c.Limit > most {
		return control.TopResponse{}, &usageError{text: fmt.Sprintf("--limit %d: want 1 to %d", c.Limit, most)}
	}
	top, err := cl.Top(ctx, control.TopBytes, most)
	if err != nil {
		return top, err
	}
	costs := map[string]control.TopShape{}
	for _, s := range top.Shapes {
		costs[s.Handle] = s
	}
	all, err := cl.List(ctx)
	if err != nil {
		return top, err
	}
	slices.SortStableFunc(all, func(a, b control.Shape) int { return cmp.Compare(b.SinceBytes, a.SinceBytes) })
	top.Shapes = []control.TopShape{}
	for _, s := range all[:min(c.Limit, len(all))] {
		cost := costs[s.Handle]
		top.Shapes = append(top.Shapes, control.TopShape{
			Handle: s.Handle, State: s.State, Schema: s.Schema, Table: s.Table, Where: s.Where, CPU: cost.CPU, BytesPerSecond: cost.BytesPerSecond, LogBytes: s.SinceBytes, Rows: s.Rows,
		})
	}
	return top, nil
}

func printTop(w io.Writer, top control.TopResponse) error {
	const percent = 100
	fmt.Fprintf(w, "of the last %.0f s: judging changes takes %.2f %% of a core, %s are written a second, for all shapes\n",
		top.Seconds, percent*top.CPU, term.Size(int64(top.BytesPerSecond)))
	if len(top.Silent) > 0 {
		fmt.Fprintf(w, "without the shapes of %s: no answer\n", term.Printable(strings.Join(top.Silent, ", ")))
	}
	if len(top.Shapes) == 0 {
		_, err := fmt.Fprintln(w, "no shape costs anything to speak of")
		return err
	}
	t := newTable(w)
	t.row("CPU", "WRITTEN/s", "LOG", "ROWS", "HANDLE", "SHAPE")
	for _, s := range top.Shapes {
		info := control.Shape{Schema: s.Schema, Table: s.Table, Where: s.Where, Rows: s.Rows}
		what, rows := describe(info), rowsText(info)
		if s.State == "" {
			what, rows = "(gone)", ""
		}
		t.row(fmt.Sprintf("%.2f %%", percent*s.CPU), term.Size(int64(s.BytesPerSecond)), term.Size(s.LogBytes), rows, s.Handle, what)
	}
	return t.end()
}
