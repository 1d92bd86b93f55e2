package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/shapebus/shapebus/internal/term"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

type shapeFoldCmd struct {
	clientFlags

	Shape string `arg:"" help:"Handle or id of the shape."`
}

// Run asks for a fold.
func (c *shapeFoldCmd) Run(ctx context.Context, out *console) error {
	return c.with(ctx, out, "shape fold", func(ctx context.Context, cl *client.Client) error {
		s, err := cl.Fold(ctx, c.Shape)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out.stderr, "the log of shape %s is to be folded; shapebus shape get %s shows how far that is\n", s.Handle, s.Handle)
		return err
	})
}

// foldText says where a log begins and how far a fold of it is.
func foldText(s control.Shape) string {
	var b strings.Builder
	if s.Generation == 0 {
		b.WriteString("never")
	} else {
		fmt.Fprintf(&b, "generation %d, %s, %s since", s.Generation, s.Folded.Format(time.RFC3339), term.Size(s.SinceBytes))
	}
	switch f := s.Fold; {
	case f == nil:
	case f.Began != nil:
		fmt.Fprintf(&b, "; being folded since %s, %s read", f.Began.Format(time.RFC3339), term.Plural(f.Rows, "row"))
	case f.Error != "":
		b.WriteString("; not yet: " + f.Error)
	default:
		b.WriteString("; to be folded")
	}
	return b.String()
}
