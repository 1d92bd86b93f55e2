package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/preflight"
	"github.com/shapebus/shapebus/internal/term"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/services/consumer"
)

type checkCmd struct {
	sourceFlags
	databaseFlags
	replicationFlags

	NATS              natsFlags `embed:"" group:"NATS:"`
	Tables            []string  `env:"-" name:"table" placeholder:"TABLE" help:"Table to check too, as SQL writes it; may be repeated. Default none."`
	Consumers         int       `default:"1" help:"Consumers that will run: each may open 33 connections to Postgres (default ${default})."`
	Partitions        int       `default:"${partitions}" help:"Partitions that the source will have, if it is new (default ${default})."`
	Replicas          int       `default:"1" help:"Copies that the services will be started with (default ${default})."`
	ChangeLogMaxBytes byteSize  `default:"8GiB" help:"Size of the change log that ingest will be started with; -1 is no limit (default ${default})."`
	JSON              bool      `env:"-" name:"json" help:"Print one JSON document. Default: text."`
}

// Run looks at both sides and says what to do.
func (c *checkCmd) Run(ctx context.Context, out *console) error {
	source := topology.Source(c.Source)
	url, err := c.required()
	if err != nil {
		return err
	}
	database, found := c.database(ctx, url, source)
	reports := []report{database, c.nats(ctx, out.log, source, found)}
	n := failures(reports)
	if c.JSON {
		err = printJSON(out.stdout, map[string]any{"ready": n == 0, "checks": reports})
	} else {
		err = printReports(out.stdout, reports, term.Palette{On: out.color})
	}
	switch {
	case err != nil:
		return err
	case n > 0:
		return fmt.Errorf("not ready: %s to fix, see FAIL above", term.Plural(n, "thing"))
	case !c.JSON:
		_, err = fmt.Fprintln(out.stdout, "Ready for shapebus ingest, shapebus consumer and shapebus materializer.")
	}
	return err
}

// database also returns which one it is, as far as that can be found out.
func (c *checkCmd) database(ctx context.Context, url string, source topology.Source) (r report, found pg.Database) {
	r = report{Title: "Postgres", Address: pg.Redact(url)}
	cfg, err := pg.ParseConfig(url, "check")
	if err != nil {
		r.Findings = []preflight.Finding{failure("connection", "", "%v", err)}
		return r, found
	}
	r.Address = fmt.Sprintf("%s:%d/%s as %s", cfg.Host, cfg.Port, cfg.Database, cfg.User)
	conn, err := pg.Connect(ctx, cfg)
	if err != nil {
		r.Findings = []preflight.Finding{connectFinding(err)}
		return r, found
	}
	defer conn.Close(context.WithoutCancel(ctx)) // nothing was written
	replication := c.of(source)
	r.Findings = preflight.Check(ctx, conn, preflight.Options{Publication: replication.Publication, Slot: replication.Slot, Tables: c.Tables, Connections: c.connections()})
	if found, err = pg.Identify(ctx, conn.PgConn()); err != nil {
		r.Findings = append(r.Findings, warning("identity", "", "%v", err))
	}
	return r, found
}

// connections is how many the services may open: beside the consumers' those of ingest, to read and to look.
func (c *checkCmd) connections() int {
	const ingest, snapshots, folds = 3, 4, 2 // as consumers are started unless told otherwise
	return c.Consumers*consumer.MostConnections(snapshots, folds) + ingest
}

// connectFinding is a failed connection as a finding, its remedy apart.
func connectFinding(err error) preflight.Finding {
	if e, ok := errors.AsType[*pg.ConnectError](err); ok {
		return failure("connection", e.Fix, "%s", e.Reason)
	}
	if e, ok := errors.AsType[*natsError](err); ok {
		return failure("connection", e.fix, "%v", e.err)
	}
	return failure("connection", "", "%v", err)
}

func (c *checkCmd) nats(ctx context.Context, log *slog.Logger, source topology.Source, database pg.Database) report {
	r := report{Title: "NATS", Address: c.NATS.address()}
	nc, err := c.NATS.connect(log, "check", nil)
	if err != nil {
		r.Findings = []preflight.Finding{connectFinding(err)}
		return r
	}
	defer nc.Close()
	r.Findings = c.checkNATS(ctx, nc, source, database)
	return r
}
