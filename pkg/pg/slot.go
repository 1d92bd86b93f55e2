package pg

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/pkg/change"
)

// SlotInfo is what the server says about a replication slot.
type SlotInfo struct {
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
	ActivePID          int    // 0 if nobody holds it
	RetainedBytes      int64  // WAL that the slot keeps the server from removing
}

// Lost reports whether the slot can no longer be read: the server has removed
// WAL that it needed.
func (s SlotInfo) Lost() bool { return s.WALStatus == "lost" || s.InvalidationReason != "" }

// LookupSlot reads a slot; Exists is false if there is none of this name.
func LookupSlot(ctx context.Context, conn *pgx.Conn, name string) (SlotInfo, error) {
	reason := "''"
	if Major(conn) >= 17 {
		reason = "coalesce(invalidation_reason, '')"
	}
	var s SlotInfo
	var restart, confirmed string
	err := conn.QueryRow(ctx, `
		SELECT active, coalesce(plugin::text, ''), coalesce(database::text, ''), coalesce(restart_lsn, '0/0')::text,
			coalesce(confirmed_flush_lsn, '0/0')::text, coalesce(wal_status, ''), `+reason+`, coalesce(active_pid, 0),
			coalesce(pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery()
				THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END, restart_lsn), 0)::bigint
		FROM pg_catalog.pg_replication_slots WHERE slot_name = $1`, name).Scan(
		&s.Active, &s.Plugin, &s.Database, &restart, &confirmed, &s.WALStatus, &s.InvalidationReason, &s.ActivePID, &s.RetainedBytes)
	if errors.Is(err, pgx.ErrNoRows) {
		return SlotInfo{}, nil
	}
	if err != nil {
		return SlotInfo{}, fmt.Errorf("look up replication slot %s: %w", name, err)
	}
	s.Exists = true
	if s.RestartLSN, err = change.ParseLSN(restart); err != nil {
		return SlotInfo{}, err
	}
	s.ConfirmedFlush, err = change.ParseLSN(confirmed)
	return s, err
}

// SlotOption changes how CreateSlot makes the slot.
type SlotOption func(*slotOptions)

type slotOptions struct{ failover bool }

// WithFailover has the slot synchronised to standbys, so that it survives a
// failover. Postgres 17 on; older servers ignore it.
func WithFailover() SlotOption { return func(o *slotOptions) { o.failover = true } }

// CreateSlot makes a logical slot for pgoutput in conn's database. It waits
// until every transaction that is writing at that moment has ended; cancelling ctx
// leaves no slot behind, or at worst one that was ready already.
//
// Errors: *NeedsError when the role, wal_level or max_replication_slots stand
// in the way.
func CreateSlot(ctx context.Context, conn *pgx.Conn, name string, options ...SlotOption) error {
	var o slotOptions
	for _, set := range options {
		set(&o)
	}
	sql := "SELECT pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput')"
	if o.failover && Major(conn) >= 17 {
		sql = "SELECT pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput', failover => true)"
	}
	_, err := conn.Exec(ctx, sql, name)
	switch sqlState(err) {
	case "":
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
		return &NeedsError{
			What:      "the server cannot decode its WAL: wal_level is not logical",
			As:        "a superuser, then restart the server",
			Statement: walLevelSQL, Err: err,
		}
	case "53400":
		return &NeedsError{
			What:      "all replication slots of the server are in use",
			As:        "a superuser, then restart the server (or drop one that nobody uses, see pg_replication_slots)",
			Statement: "ALTER SYSTEM SET max_replication_slots = 20", Err: err,
		}
	}
	return fmt.Errorf("create replication slot %s: %w", name, err)
}

const walLevelSQL = "ALTER SYSTEM SET wal_level = logical"

func needsReplication(conn *pgx.Conn, err error) *NeedsError {
	role := conn.Config().User
	return &NeedsError{
		What: fmt.Sprintf("role %s may not use replication", role),
		As:   "a superuser",
		Statement: fmt.Sprintf("ALTER ROLE %s REPLICATION", Ident(role)) +
			fmt.Sprintf(" (on Amazon RDS: GRANT rds_replication TO %s)", Ident(role)),
		Err: err,
	}
}

// DropSlot removes a slot; that there is none is fine. Shapes fed by it cannot
// continue afterwards.
func DropSlot(ctx context.Context, conn *pgx.Conn, name string) error {
	_, err := conn.Exec(ctx, "SELECT pg_catalog.pg_drop_replication_slot($1)", name)
	switch sqlState(err) {
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
