package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/term"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
)

// clientFlags say which source to talk to, and over which NATS.
type clientFlags struct {
	sourceFlags

	NATS natsFlags `embed:"" group:"NATS:"`
}

// with connects to NATS and hands do a client of the source. do's context also ends when the server denies what was asked;
// the error then says that. The source's status ends nothing: it may be asked for by the way, by who need not have the right.
func (f *clientFlags) with(ctx context.Context, out *console, role string, do func(context.Context, *client.Client) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	status := `"` + topology.Source(f.Source).ControlPlane() + "." + control.EndpointStatus + `"`
	nc, err := f.NATS.connect(out.log, role, func(err error) {
		if !strings.Contains(err.Error(), status) {
			cancel(err)
		}
	})
	if err != nil {
		return err
	}
	defer nc.Close()
	cl, err := client.New(nc, string(f.Source), client.WithAPIPrefix(f.NATS.APIPrefix))
	if err != nil {
		return err
	}
	err = do(ctx, cl)
	if cause := context.Cause(ctx); errors.Is(cause, nats.ErrPermissionViolation) {
		return cause
	}
	if errors.Is(err, nats.ErrPermissionViolation) {
		return notPermitted(err) // of the status, which was wanted here
	}
	return err
}

// shapeName is what an id (16 hex digits) or a handle (an id, - and more) looks like.
var shapeName = regexp.MustCompile(`^[0-9a-f]{16}(-[0-9a-z]+)?$`)

type shapeListCmd struct {
	clientFlags

	JSON bool `env:"-" name:"json" help:"Print one JSON document. Default: a table."`
}

// Run lists the source's shapes.
func (c *shapeListCmd) Run(ctx context.Context, out *console) error {
	return c.with(ctx, out, "shape list", func(ctx context.Context, cl *client.Client) error {
		shapes, err := cl.List(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			if shapes == nil {
				shapes = []control.Shape{}
			}
			return printJSON(out.stdout, shapes)
		}
		if len(shapes) == 0 {
			_, err = fmt.Fprintf(out.stderr, "source %s has no shapes; make one: shapebus shape create TABLE\n", c.Source)
			return err
		}
		return printShapes(out.stdout, shapes)
	})
}

type shapeGetCmd struct {
	clientFlags

	Shape string `arg:"" help:"Handle or id of the shape."`
	JSON  bool   `env:"-" name:"json" help:"Print one JSON document. Default: text."`
}

// Run shows one shape.
func (c *shapeGetCmd) Run(ctx context.Context, out *console) error {
	return c.with(ctx, out, "shape get", func(ctx context.Context, cl *client.Client) error {
		s, err := cl.Get(ctx, c.Shape)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(out.stdout, s)
		}
		return printShape(out.stdout, s)
	})
}

type shapeDeleteCmd struct {
	clientFlags

	Shapes []string `arg:"" name:"shape" help:"Handles or ids of the shapes."`
}

// Run deletes shapes, in order, up to the first that fails.
func (c *shapeDeleteCmd) Run(ctx context.Context, out *console) error {
	return c.with(ctx, out, "shape delete", func(ctx context.Context, cl *client.Client) error {
		for _, name := range c.Shapes {
			if err := cl.Delete(ctx, name); err != nil {
				return err
			}
			if _, err := fmt.Fprintf(out.stderr, "shape %s is deleted\n", name); err != nil {
				return err
			}
		}
		return nil
	})
}

// printShapes prints a table of shapes.
func printShapes(w io.Writer, shapes []control.Shape) error {
	t := newTable(w)
	t.row("HANDLE", "SHAPE", "STATE", "ROWS", "OFFSET", "LAG", "LOG")
	for _, s := range shapes {
		state := string(s.State)
		if s.Reason != "" {
			state += " (" + s.Reason + ")"
		}
		t.row(s.Handle, describe(s), state, rowsText(s), s.Offset.String(), term.Size(s.LagBytes), term.Size(s.LogBytes))
	}
	return t.end()
}

func printShape(w io.Writer, s control.Shape) error {
	t := newTable(w)
	t.line("handle", "%s", s.Handle)
	t.line("id", "%s", s.ID)
	t.line("shape", "%s", describe(s))
	t.line("state", "%s", s.State)
	if s.Reason != "" {
		t.line("reason", "%s", s.Reason)
	}
	t.line("columns", "%s", columnsText(s))
	if !s.HasKey {
		t.line("", "the table has no primary key: equal rows may repeat")
	}
	t.line("rows", "%s", rowsText(s))
	t.line("offset", "%s", s.Offset)
	t.line("applied", "%s, %s behind the end of the change log", s.Applied, term.Size(s.LagBytes))
	t.line("log", "%s, partition %d, written per %s", term.Size(s.LogBytes), s.Partition, s.WriteUnit)
	t.line("folded", "%s", foldText(s))
	t.line("created", "%s", s.Created.Format(time.RFC3339))
	return t.end()
}

// rowsOf is the number of rows, while creating the number read so far. It is
// negative when what a subquery selects has changed and nobody has counted since.
func rowsOf(s control.Shape) int64 {
	if s.State == control.StateCreating {
		return s.SnapshotRows
	}
	return s.Rows
}

func rowsText(s control.Shape) string {
	if n := rowsOf(s); n >= 0 {
		return term.Count(n)
	}
	return "not counted"
}

func rowsPhrase(s control.Shape) string {
	if n := rowsOf(s); n >= 0 {
		return term.Plural(n, "row")
	}
	return "rows not counted"
}

// describe names a shape's rows as a person would: public.tasks where done = $1 ["f"].
func describe(s control.Shape) string {
	text := sqlName(s.Schema) + "." + sqlName(s.Table)
	if s.Omitted != "" {
		text += " (too large to be shown in a list)"
	}
	if s.Where != "" {
		text += " where " + term.Printable(strings.Join(strings.Fields(s.Where), " "))
	}
	if len(s.Params) > 0 {
		params, err := json.Marshal(s.Params)
		if err == nil {
			text += " " + term.Printable(string(params))
		}
	}
	return text
}

func sqlName(name string) string { return term.Printable(pg.Name(name)) }

func columnsText(s control.Shape) string {
	names := make([]string, len(s.Columns))
	for i, c := range s.Columns {
		names[i] = c.Name + " " + c.TypeName
		if c.Key && s.HasKey {
			names[i] += " (key)"
		}
	}
	return strings.Join(names, ", ")
}
