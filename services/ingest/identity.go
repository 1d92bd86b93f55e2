package ingest

import (
	"bytes"
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/change"
)

// identity is which history of which cluster a server continues.
type identity struct {
	pg.Database

	slot     bool // is one of this database
	timeline int32
	flushed  change.LSN // the end of its WAL
	// branched is where this server left the timeline that the change log was
	// written on; 0 if it did not.
	branched change.LSN
}

// identify asks over a replication connection.
func identify(ctx context.Context, conn *pgconn.PgConn, known int32) (identity, error) {
	sys, err := pglogrepl.IdentifySystem(ctx, conn)
	if err != nil {
		return identity{}, fmt.Errorf("identify the Postgres cluster: %w", err)
	}
	id := identity{Database: pg.Database{SystemID: sys.SystemID, Name: sys.DBName}, timeline: sys.Timeline, flushed: change.LSN(sys.XLogPos)}
	if known == 0 || known == sys.Timeline {
		return id, nil
	}
	history, err := pglogrepl.TimelineHistory(ctx, conn, sys.Timeline)
	if err != nil {
		return identity{}, fmt.Errorf("read the history of timeline %d: %w", sys.Timeline, err)
	}
	id.branched, err = leftTimeline(history.Content, known)
	return id, err
}

// leftTimeline finds in a timeline history file where a timeline was left: lines
// of its number, the position and a reason, separated by tabs. A timeline that is
// not listed was left before anything: it is not part of this history.
func leftTimeline(history []byte, timeline int32) (change.LSN, error) {
	for line := range bytes.Lines(history) {
		fields := bytes.Fields(line)
		if len(fields) < 2 || fields[0][0] == '#' {
			continue
		}
		n, err := strconv.ParseInt(string(fields[0]), 10, 32)
		if err != nil {
			return 0, fmt.Errorf("timeline history: %w", err)
		}
		if int32(n) == timeline {
			return change.ParseLSN(string(fields[1]))
		}
	}
	return 1, nil
}
