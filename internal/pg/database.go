package pg

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Database is which database of which Postgres cluster. The zero value is none that is known. What of two of them only one
// has is not compared.
type Database struct {
	// SystemID is the identifier of the cluster, as IDENTIFY_SYSTEM tells it: a standby has that of its primary, and a cluster
	// that was made by itself another one.
	SystemID string `json:"system_id"`
	Name     string `json:"database,omitempty"`
}

// OtherDatabaseError says that a database is not the one that feeds the source. Tables, their oids and positions in the WAL
// mean something else in it.
type OtherDatabaseError struct{ Feeds, Found Database }

func (e *OtherDatabaseError) Error() string {
	if differ(e.Feeds.SystemID, e.Found.SystemID) {
		return fmt.Sprintf("the source was fed by another Postgres cluster (system identifier %s, database %q) than this one (system identifier %s, database %q)",
			e.Feeds.SystemID, e.Feeds.Name, e.Found.SystemID, e.Found.Name)
	}
	return fmt.Sprintf("the source was fed by another database (%q) than this one (%q) of the Postgres cluster with system identifier %s",
		e.Feeds.Name, e.Found.Name, e.Feeds.SystemID)
}

// Admit returns an OtherDatabaseError unless found is d, the database that feeds a source.
func (d Database) Admit(found Database) error {
	if differ(d.SystemID, found.SystemID) || differ(d.Name, found.Name) {
		return &OtherDatabaseError{Feeds: d, Found: found}
	}
	return nil
}

func differ(a, b string) bool { return a != "" && b != "" && a != b }

// Identify asks which database a connection leads to. Where the role may not know the cluster, the name is all it tells.
func Identify(ctx context.Context, conn *pgconn.PgConn) (Database, error) {
	r := conn.ExecParams(ctx, "SELECT pg_catalog.current_database(), system_identifier FROM pg_catalog.pg_control_system()", nil, nil, nil, nil).Read()
	if SQLState(r.Err) == "42501" {
		r = conn.ExecParams(ctx, "SELECT pg_catalog.current_database(), NULL", nil, nil, nil, nil).Read()
	}
	if r.Err != nil {
		return Database{}, fmt.Errorf("identify the database: %w", r.Err)
	}
	d := Database{Name: string(r.Rows[0][0])}
	if text := r.Rows[0][1]; text != nil {
		id, err := strconv.ParseInt(string(text), 10, 64) // SQL has no unsigned numbers
		if err != nil {
			return Database{}, fmt.Errorf("identify the Postgres cluster: %w", err)
		}
		d.SystemID = strconv.FormatUint(uint64(id), 10)
	}
	return d, nil
}

// identifyWithin bounds what happens between connecting and the first use.
const identifyWithin = 15 * time.Second

// Only has connections lead to one database: those that cfg opens fail with an OtherDatabaseError if they lead elsewhere,
// since what a URL names may change. feeds is asked each time, and zero admits all.
func Only(cfg *pgx.ConnConfig, feeds func(context.Context) (Database, error)) {
	cfg.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		ctx, cancel := context.WithTimeout(ctx, identifyWithin)
		defer cancel()
		want, err := feeds(ctx)
		if err != nil || want == (Database{}) {
			return err
		}
		found, err := Identify(ctx, conn)
		if err != nil {
			return err
		}
		return want.Admit(found)
	}
}
