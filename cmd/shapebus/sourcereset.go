package main

import (
	"context"
	"fmt"
	"io"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/term"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/services/ingest"
)

type sourceResetCmd struct {
	sourceFlags
	databaseFlags

	NATS   natsFlags `embed:"" group:"NATS:"`
	Reason string    `env:"-" default:"the source was reset by hand and begins again with the database as it is now" help:"What the readers of the shapes that end are told (default \"${default}\")."`
	Yes    bool      `env:"-" help:"Do it. Default: say what would be done."`
}

// maxReason bounds what readers are told.
const maxReason = 500

// Run has the source begin again. Services may run meanwhile; an ingest that refuses to start goes on when it is started again.
func (c *sourceResetCmd) Run(ctx context.Context, out *console) error {
	if c.Reason == "" || len(c.Reason) > maxReason {
		return &usageError{text: fmt.Sprintf("--reason has %d bytes, want 1 to %d", len(c.Reason), maxReason)}
	}
	url, err := c.required()
	if err != nil {
		return err
	}
	conn, err := connectTo(ctx, url, "source reset")
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) // nothing was written
	with, err := pg.Identify(ctx, conn.PgConn())
	if err != nil {
		return err
	}
	return withJetStream(ctx, out, &c.NATS, "source reset", func(ctx context.Context, js jetstream.JetStream) error {
		reset, err := ingest.LookAtReset(ctx, js, topology.Source(c.Source), with)
		if err != nil {
			return err
		}
		if err := c.print(out.stdout, reset, with); err != nil {
			return err
		}
		if !c.Yes {
			_, err = fmt.Fprintln(out.stderr, "Nothing was changed; --yes does it.")
			return err
		}
		if err := reset.Do(ctx, c.Reason); err != nil {
			return err
		}
		_, err = fmt.Fprintf(out.stderr, "source %s begins again: ingest makes the change log when it runs, and consumers end the shapes there are\n", c.Source)
		return err
	})
}

func (c *sourceResetCmd) print(w io.Writer, r *ingest.Reset, with pg.Database) error {
	source := topology.Source(c.Source)
	fmt.Fprintf(w, "source %s begins again:\n", source)
	switch {
	case r.Fed == pg.Database{}:
		fmt.Fprintln(w, "  no database is known to have fed it")
	case r.Fed.Admit(with) == nil:
		fmt.Fprintf(w, "  it goes on with the same database (%s, system identifier %s)\n", term.Printable(with.Name), with.SystemID)
	case with.SystemID != "" && r.Fed.SystemID != with.SystemID:
		fmt.Fprintf(w, "  it goes on with another Postgres cluster (system identifier %s, %s before)\n", term.Printable(with.SystemID), term.Printable(r.Fed.SystemID))
	default:
		fmt.Fprintf(w, "  it goes on with another database of the same Postgres cluster (%s, %s before)\n", term.Printable(with.Name), term.Printable(r.Fed.Name))
	}
	if r.Log != nil {
		fmt.Fprintf(w, "  removed: stream %s, with %s, %s\n", source.ChangeStream(), term.Plural(r.Log.State.Msgs, "message"), term.Size(int64(r.Log.State.Bytes)))
	}
	if r.Known > 0 {
		fmt.Fprintf(w, "  removed: what is known of tables of the other database, %s; they stay as they are there\n", term.Plural(r.Known, "record"))
	}
	fmt.Fprintf(w, "  ended: all shapes; their readers are told: %s\n", c.Reason)
	_, err := fmt.Fprintln(w, "  stays: the replication slot and the publication, as far as this database has them; apps create their shapes again")
	return err
}
