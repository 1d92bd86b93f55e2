package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/removal"
	"github.com/shapebus/shapebus/internal/term"
	"github.com/shapebus/shapebus/pkg/topology"
)

type sourceDeleteCmd struct {
	sourceFlags
	databaseFlags
	replicationFlags

	NATS         natsFlags     `embed:"" group:"NATS:"`
	KeepPostgres bool          `env:"-" help:"Leave slot, publication and tables as they are, for a database that is gone. Default: remove what Shapebus has put there."`
	LockTimeout  time.Duration `default:"5s" help:"How long giving a table back waits for its lock, holding up writers behind it for half a second at a time (default ${default})."`
	Yes          bool          `env:"-" help:"Do it. Default: say what would be done."`
}

// Run removes the source.
func (c *sourceDeleteCmd) Run(ctx context.Context, out *console) error {
	var conn *pgx.Conn // nil leaves Postgres as it is
	if !c.KeepPostgres {
		url, err := c.required()
		if err != nil {
			return err
		}
		if conn, err = connectTo(ctx, url, "source delete"); err != nil {
			return fmt.Errorf("%w; if this database is gone, --keep-postgres removes what is in NATS", err)
		}
		defer conn.Close(context.WithoutCancel(ctx)) // what was done is committed
	}
	source := topology.Source(c.Source)
	names := c.of(source)
	return withJetStream(ctx, out, &c.NATS, "source delete", func(ctx context.Context, js jetstream.JetStream) error {
		inv, err := removal.Look(ctx, js, conn, source, names.Publication, names.Slot)
		if err != nil {
			return err
		}
		if inv.Empty() {
			_, err = fmt.Fprintf(out.stderr, "there is nothing of source %s\n", source)
			return err
		}
		if !c.Yes {
			if err := c.print(out.stdout, inv); err != nil {
				return err
			}
			_, err = fmt.Fprintln(out.stderr, "Nothing was changed; --yes does it.")
			return err
		}
		return c.remove(ctx, out, inv)
	})
}

func (c *sourceDeleteCmd) remove(ctx context.Context, out *console, inv *removal.Inventory) error {
	var left []string
	err := inv.Remove(ctx, c.LockTimeout,
		func(done string) { fmt.Fprintln(out.stdout, "removed:", term.Printable(done)) },
		func(one string) { left = append(left, one) })
	for _, one := range left {
		fmt.Fprintln(out.stdout, "left:", term.Printable(one))
	}
	if err != nil {
		return err
	}
	c.printKept(out.stdout, inv)
	_, err = fmt.Fprintf(out.stderr, "source %s is deleted\n", c.Source)
	return err
}

func (c *sourceDeleteCmd) print(w io.Writer, inv *removal.Inventory) error {
	fmt.Fprintf(w, "of source %s would be removed:\n", inv.Source)
	if !c.KeepPostgres {
		for _, p := range inv.Tables {
			fmt.Fprintf(w, "  what was changed of table %s (its place in the publication, its replica identity)\n", term.Printable(p.String()))
		}
		if inv.InSlot.Exists {
			fmt.Fprintf(w, "  replication slot %s\n", inv.Slot)
		}
		if inv.InPub != nil {
			fmt.Fprintf(w, "  publication %s, unless somebody else has put tables there\n", term.Printable(inv.Publication))
		}
	}
	for _, s := range inv.Streams {
		fmt.Fprintf(w, "  stream %s, with %s, %s\n", s.Config.Name, term.Plural(s.State.Msgs, "message"), term.Size(int64(s.State.Bytes)))
	}
	fmt.Fprintf(w, "  %s with them; their readers find no stream any more\n", term.Plural(inv.Shapes, "shape"))
	c.printKept(w, inv)
	for _, who := range inv.Running {
		fmt.Fprintf(w, "  NOT while it runs: %s; stop it first\n", term.Printable(who))
	}
	return nil
}

// printKept says what stays in a database that was not asked.
func (c *sourceDeleteCmd) printKept(w io.Writer, inv *removal.Inventory) {
	if !c.KeepPostgres {
		return
	}
	for _, sql := range removal.InPostgres(inv.Publication, inv.Slot, inv.Tables) {
		fmt.Fprintf(w, "left in Postgres, if it is there: %s\n", term.Printable(sql))
	}
}
