package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"

	"github.com/shapebus/shapebus/internal/term"
	"github.com/shapebus/shapebus/pkg/client"
)

// tailRows is how many rows of one transaction are shown on a terminal.
const tailRows = 20

type shapeTailCmd struct {
	clientFlags
	definitionFlags

	Shape string `arg:"" name:"shape" help:"Handle or id of a shape, or a table: then the shape is created if there is none."`
	From  string `env:"-" default:"beginning" help:"Where to start: beginning (the snapshot first), now, or behind a position that was printed, <handle>@<offset> (default ${default})."`
	Rows  int    `env:"-" default:"-1" help:"Rows to show of each transaction; 0 shows all. Default: 20 on a terminal, all elsewhere and with --json."`
	Once  bool   `env:"-" help:"Stop when everything that is committed so far has been printed. Default: go on."`
	JSON  bool   `env:"-" name:"json" help:"Print one JSON object a line. Default: text."`
}

// Run prints the shape's events until it is interrupted or the shape ends.
func (c *shapeTailCmd) Run(ctx context.Context, out *console) error {
	from, err := c.position()
	if err != nil {
		return err
	}
	return c.with(ctx, out, "shape tail", func(ctx context.Context, cl *client.Client) error {
		s, err := c.find(ctx, cl)
		if err != nil {
			return err
		}
		if c.From == fromNow {
			from = client.Position{Handle: s.Handle(), Offset: s.Info().Offset}
		}
		w := bufio.NewWriter(out.stdout)
		var p eventPrinter
		if c.JSON {
			p = &jsonPrinter{w: w}
		} else {
			p = newTextPrinter(w, out, c.limit(out))
			if err := tailHeader(out, s); err != nil {
				return err
			}
		}
		err = errors.Join(follow(ctx, s.Subscribe(from, client.Options{Log: out.log}), p, c.Once), w.Flush())
		if ctx.Err() != nil {
			err = nil // stopped as asked
		}
		return err
	})
}

// follow gives every event to the printer, and ends with the subscription, or once it has caught up.
func follow(ctx context.Context, sub *client.Subscription, p eventPrinter, once bool) error {
	defer p.end()
	for event, err := range sub.Events(ctx) {
		if refetch, ok := errors.AsType[*client.MustRefetchError](err); ok {
			return fmt.Errorf("shape %s has ended: %s; run the command again with the table and where clause for its next incarnation", refetch.Handle, refetch.Reason)
		}
		if err == nil {
			err = p.print(event)
		}
		if err != nil {
			return err
		}
		if _, ok := event.(client.CaughtUp); ok && once {
			return nil
		}
	}
	return nil
}

func (c *shapeTailCmd) find(ctx context.Context, cl *client.Client) (*client.Shape, error) {
	if shapeName.MatchString(c.Shape) && !c.given() {
		return cl.Open(ctx, c.Shape)
	}
	return c.create(ctx, cl, c.Shape)
}

// fromNow asks for what comes after the last commit.
const fromNow = "now"

// position is where to start, unless that is fromNow.
func (c *shapeTailCmd) position() (client.Position, error) {
	if c.From == fromNow {
		return client.Beginning(), nil
	}
	from, err := client.ParsePosition(c.From)
	if err != nil {
		return from, &usageError{text: fmt.Sprintf("--from %s: want beginning, now or a position such as 537a3e845a2479ab-hoe9dyycgv@26800584_4", c.From)}
	}
	return from, nil
}

func (c *shapeTailCmd) limit(out *console) int {
	if c.Rows < 0 && out.stdoutTTY {
		return tailRows
	}
	return max(c.Rows, 0)
}

func tailHeader(out *console, s *client.Shape) error {
	if !out.stderrTTY {
		return nil
	}
	p := term.Palette{On: out.color}
	_, err := fmt.Fprintf(out.stderr, "%s  %s  %s\n", p.Bold(describe(s.Info())), s.Handle(), p.Dim("Ctrl-C stops"))
	return err
}
