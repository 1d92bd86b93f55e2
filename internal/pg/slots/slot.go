package slots

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/change"
)

// Info is what the server says about a replication slot.
type Info struct {
	Exists   bool
	Active   bool   // some walsender holds it
	Plugin   string // "" for a physical slot
	Database string // the one it decodes; a slot's name is unique in the whole cluster
	// RestartLSN is where the server keeps WAL from; ConfirmedFlush is where
	// the stream continues. Both are zero when the slot is lost.
	RestartLSN, ConfirmedFlush change.LSN
	// WALStatus is reserved, extended, unreserved or lost.
	WALStatus          string
	InvalidationReason string // Postgres 17 on; "" if it is valid
	Failover           bool   // it is synchronised to standbys; Postgres 17 on
	ActivePID          int    // 0 if nobody holds it
	RetainedBytes      int64  // WAL that the slot keeps the server from removing; 0 when it is lost
	SafeBytes          int64  // WAL that may be written before the slot is in danger of being lost; -1 without a limit, 0 when it is lost
}

// Lost reports whether the slot can no longer be read: the server has removed
// WAL that it needed.
func (s Info) Lost() bool { return s.WALStatus == "lost" || s.InvalidationReason != "" }

// LostReason says in words why the slot is lost; "" if it is not.
func (s Info) LostReason() string {
	switch {
	case !s.Lost():
		return ""
	case s.InvalidationReason == "idle_timeout":
		return "nobody read the replication slot for as long as idle_replication_slot_timeout, and Postgres has given it up"
	case s.InvalidationReason == "wal_level_insufficient":
		return "wal_level was lower than logical for a while, and Postgres has given the replication slot up"
	case s.InvalidationReason == "rows_removed":
		return "Postgres has removed catalog rows that the replication slot needs"
	}
	return "Postgres has removed WAL that ingest had not read"
}

// Lookup reads a slot; Exists is false if there is none of this name.
func Lookup(ctx context.Context, conn *pgx.Conn, name string) (Info, error) {
	reason, failover := "''", "false"
	if pg.Major(conn) >= 17 {
		reason, failover = "coalesce(invalidation_reason, '')", "failover"
	}
	var s Info
	var restart, confirmed string
	err := conn.QueryRow(ctx, `
		SELECT active, coalesce(plugin::text, ''), coalesce(database::text, ''), coalesce(restart_lsn, '0/0')::text,
			coalesce(confirmed_flush_lsn, '0/0')::text, coalesce(wal_status, ''), `+reason+`, `+failover+`, coalesce(active_pid, 0),
			coalesce(pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery()
				THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END, restart_lsn), 0)::bigint,
			CASE WHEN wal_status = 'lost' THEN 0 WHEN safe_wal_size IS NULL THEN -1 ELSE greatest(safe_wal_size, 0) END
		FROM pg_catalog.pg_replication_slots WHERE slot_name = $1`, name).Scan(
		&s.Active, &s.Plugin, &s.Database, &restart, &confirmed, &s.WALStatus, &s.InvalidationReason, &s.Failover, &s.ActivePID, &s.RetainedBytes, &s.SafeBytes)
	if errors.Is(err, pgx.ErrNoRows) {
		return Info{}, nil
	}
	if err != nil {
		return Info{}, fmt.Errorf("look up replication slot %s: %w", name, err)
	}
	s.Exists = true
	if s.RestartLSN, err = change.ParseLSN(restart); err != nil {
		return Info{}, err
	}
	s.ConfirmedFlush, err = change.ParseLSN(confirmed)
	return s, err
}

// Option changes how Create makes the slot.
type Option func(*slotOptions)

type slotOptions struct{ failover bool }

// WithFailover has the slot synchronised to standbys, so that it survives a
// failover. Postgres 17 on; see NoFailover.
func WithFailover() Option { return func(o *slotOptions) { o.failover = true } }

// NoFailover is the error of a server whose slots cannot be synchronised to standbys; nil if they can.
func NoFailover(conn *pgx.Conn) error {
	if major := pg.Major(conn); major < 17 {
		return fmt.Errorf("a replication slot that survives a failover cannot be had: the server is Postgres %d, and it takes 17; "+
			"start without --failover, and shapes are fetched again after a failover", major)
	}
	return nil
}

// ErrRecovery says that the server is a standby, or has yet to become the primary.
var ErrRecovery = errors.New("the server is a standby or recovers, and a replication slot of its own would be of no use")

// Create makes a logical slot for pgoutput in conn's database. It waits
// until every transaction that is writing at that moment has ended; cancelling ctx
// leaves no slot behind, or at worst one that was ready already.
//
// Errors: *NeedsError when the role, wal_level or max_replication_slots stand
// in the way; ErrRecovery from a server that is not the primary, which gets no slot (from Postgres 16 on it
// would take one); NoFailover's.
func Create(ctx context.Context, conn *pgx.Conn, name string, options ...Option) error {
	var o slotOptions
	for _, set := range options {
		set(&o)
	}
	failover := ""
	if o.failover {
		if err := NoFailover(conn); err != nil {
			return err
		}
		failover = ", failover => true"
	}
	done, err := conn.Exec(ctx, "SELECT pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput'"+failover+") WHERE NOT pg_catalog.pg_is_in_recovery()", name)
	switch pg.SQLState(err) {
	case "":
		if err == nil && done.RowsAffected() == 0 {
			return ErrRecovery
		}
		if err == nil {
			return nil
		}
	case "42710":
		return fmt.Errorf("replication slot %s exists already, perhaps in another database of this server (SELECT * FROM pg_replication_slots); "+
			"choose another name: %w", name, err)
	case "42602":
		return fmt.Errorf("%q cannot be the name of a replication slot: only a-z, 0-9 and _ are allowed, at most 63: %w", name, err)
	case "42501":
		return needsReplication(conn, err)
	case "55000":
		return &pg.NeedsError{
			What:      "the server cannot decode its WAL: wal_level is not logical",
			As:        "a superuser, then restart the server",
			Statement: WALLevelSQL, Err: err,
		}
	case "53400":
		return &pg.NeedsError{
			What:      "all replication slots of the server are in use",
			As:        "a superuser, then restart the server (or drop one that nobody uses, see pg_replication_slots)",
			Statement: "ALTER SYSTEM SET max_replication_slots = 20", Err: err,
		}
	}
	return fmt.Errorf("create replication slot %s: %w", name, err)
}

// WALLevelSQL makes slots possible, after a restart of the server.
const WALLevelSQL = "ALTER SYSTEM SET wal_level = logical"

func needsReplication(conn *pgx.Conn, err error) *pg.NeedsError {
	role := conn.Config().User
	return &pg.NeedsError{
		What: fmt.Sprintf("role %s may not use replication", role),
		As:   "a superuser",
		Statement: fmt.Sprintf("ALTER ROLE %s REPLICATION", pg.Ident(role)) +
			fmt.Sprintf(" (on Amazon RDS: GRANT rds_replication TO %s)", pg.Ident(role)),
		Err: err,
	}
}

// Drop removes a slot; that there is none is fine. Shapes fed by it cannot
// continue afterwards.
func Drop(ctx context.Context, conn *pgx.Conn, name string) error {
	_, err := conn.Exec(ctx, "SELECT pg_catalog.pg_drop_replication_slot($1)", name)
	switch pg.SQLState(err) {
	case "42704":
		return nil
	case "55006":
		return fmt.Errorf("replication slot %s is in use: stop the ingest that reads it first: %w", name, err)
	case "42501":
		return needsReplication(conn, err)
	}
	if err != nil {
		return fmt.Errorf("drop replication slot %s: %w", name, err)
	}
	return nil
}
