package preflight

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/prepare"
	"github.com/shapebus/shapebus/internal/pg/slots"
)

// checkHarm looks at every table in the publication for writes of the application that fail because
// it is there, and returns a finding for each; none if there is no harm.
func checkHarm(ctx context.Context, conn *pgx.Conn, publication string) []Finding {
	const name = "application's writes"
	oids, err := publishedTables(ctx, conn, publication)
	if err != nil {
		return []Finding{fail(name, "", "%s", err)}
	}
	found, err := prepare.Harms(ctx, conn, oids, publication)
	if err != nil {
		return []Finding{fail(name, "", "%s", err)}
	}
	var list []Finding
	for _, h := range found {
		list = append(list, fail(name, h.Fix(), "UPDATE and DELETE fail now: %s", h))
	}
	return list
}

// Problems are what a person has to mend while everything runs, in words: writes of the
// application that fail because of what Shapebus prepared, a slot that is lost or waits for a standby.
func Problems(ctx context.Context, conn *pgx.Conn, publication string, slot slots.Info) ([]string, error) {
	oids, err := publishedTables(ctx, conn, publication)
	if err != nil {
		return nil, err
	}
	found, err := prepare.Harms(ctx, conn, oids, publication)
	if err != nil {
		return nil, err
	}
	var problems []string
	for _, h := range found {
		problems = append(problems, fmt.Sprintf("UPDATE and DELETE fail: %s; to end it: %s", h, h.Fix()))
	}
	if reason := slot.LostReason(); reason != "" {
		problems = append(problems, reason+"; ingest makes a new one when it starts, and all shapes are fetched again")
	}
	standbys, err := slots.StandbysDown(ctx, conn, slot)
	return append(problems, standbys...), err
}

// publishedTables lists the tables that a publication carries; partitioned ones by their roots.
func publishedTables(ctx context.Context, conn *pgx.Conn, publication string) ([]uint32, error) {
	// Not the view pg_publication_tables, which from 16 on waits for whoever has one of the tables locked.
	bySchema := "false"
	if pg.Major(conn) >= 15 {
		bySchema = "EXISTS (SELECT FROM pg_catalog.pg_publication_namespace s WHERE s.pnpubid = p.oid AND s.pnnspid = c.relnamespace)"
	}
	rows, err := conn.Query(ctx, `
		SELECT c.oid FROM pg_catalog.pg_publication p CROSS JOIN pg_catalog.pg_class c
		WHERE p.pubname = $1 AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p'
			AND (EXISTS (SELECT FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = c.oid)
				OR NOT c.relispartition AND c.oid >= 16384 AND (p.puballtables OR `+bySchema+`))`, publication)
	if err != nil {
		return nil, fmt.Errorf("read what publication %s carries: %w", publication, err)
	}
	oids, err := pgx.CollectRows(rows, pgx.RowTo[uint32])
	if err != nil {
		return nil, fmt.Errorf("read what publication %s carries: %w", publication, err)
	}
	return oids, nil
}
