package prepare

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
)

// Publication is what pg_publication says about one publication.
type Publication struct {
	Owner, Options string // Options as they would be written in SET (…), "" when they are as they should be
	AllTables      bool
	// LeavesOut says that it could carry stored generated columns (Postgres 18 on) and does not.
	LeavesOut bool
}

// EnsurePublication creates the publication, without tables, or checks the
// options of the one that exists. It takes no locks on tables.
//
// From Postgres 18 on a publication can carry stored generated columns, and one that does not makes
// the application's updates of such a table fail. So an existing one is changed, if the role may; else
// only tables with such a column are refused, see EnsureTable.
//
// Errors: *NeedsError when the role may not create it, and when an existing one
// leaves out operations or publishes partitions under their own names.
func EnsurePublication(ctx context.Context, conn *pgx.Conn, name string) error {
	state, err := LookupPublication(ctx, conn, name)
	if err != nil {
		return err
	}
	if state == nil {
		_, err := conn.Exec(ctx, createPublicationSQL(pg.Major(conn), name))
		switch code := pg.SQLState(err); {
		case err == nil:
			return nil
		case code == "42501":
			return NeedsPublication(conn, name, err)
		case code != "42710" && code != "23505":
			return fmt.Errorf("create publication %s: %w", name, err)
		}
		// Another process created it in between; its options are checked like any other's.
		if state, err = LookupPublication(ctx, conn, name); err != nil {
			return err
		}
		if state == nil {
			return fmt.Errorf("publication %s is being created and dropped at the same time", name)
		}
	}
	if needs := state.Check(name); needs != nil {
		return needs
	}
	if state.LeavesOut {
		if _, err := conn.Exec(ctx, PublishStoredSQL(name)); err != nil && pg.SQLState(err) != "42501" {
			return fmt.Errorf("have publication %s carry stored generated columns: %w", name, err)
		}
	}
	return nil
}

func createPublicationSQL(major int, name string) string {
	stored := ""
	if major >= 18 {
		stored = ", publish_generated_columns = stored"
	}
	return "CREATE PUBLICATION " + pg.Ident(name) +
		" WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true" + stored + ")"
}

// PublishStoredSQL has a publication carry stored generated columns; for Postgres 18 and later.
func PublishStoredSQL(name string) string {
	return fmt.Sprintf("ALTER PUBLICATION %s SET (publish_generated_columns = stored)", pg.Ident(name))
}

// NeedsPublication is the refusal of a role that may not create the publication; err is the server's, or nil.
func NeedsPublication(conn *pgx.Conn, name string, err error) *pg.NeedsError {
	cfg := conn.Config()
	return &pg.NeedsError{
		What: fmt.Sprintf("role %s may not create the publication %s in database %s", cfg.User, name, cfg.Database),
		As:   "the owner of the database or a superuser",
		Statement: fmt.Sprintf("GRANT CREATE ON DATABASE %s TO %s", pg.Ident(cfg.Database), pg.Ident(cfg.User)) +
			" (or create it for Shapebus: " + createPublicationSQL(pg.Major(conn), name) + ")",
		Err: err,
	}
}

// Check is nil if the publication's options are those that shapes need.
func (s *Publication) Check(name string) *pg.NeedsError {
	if s.Options == "" {
		return nil
	}
	return &pg.NeedsError{
		What:      fmt.Sprintf("publication %s exists, but not with the options that Shapebus needs", name),
		As:        fmt.Sprintf("its owner (role %s)", s.Owner),
		Statement: fmt.Sprintf("ALTER PUBLICATION %s SET (%s)", pg.Ident(name), s.Options),
	}
}

// LookupPublication returns nil without an error if there is none of this name.
func LookupPublication(ctx context.Context, conn *pgx.Conn, name string) (*Publication, error) {
	generated := "'s'"
	if pg.Major(conn) >= 18 {
		generated = "pubgencols::text"
	}
	var all, operations, root bool
	var owner, gencols string
	err := conn.QueryRow(ctx, `
		SELECT puballtables, pubinsert AND pubupdate AND pubdelete AND pubtruncate, pubviaroot,
			pg_catalog.pg_get_userbyid(pubowner), `+generated+`
		FROM pg_catalog.pg_publication WHERE pubname = $1`, name).Scan(&all, &operations, &root, &owner, &gencols)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up publication %s: %w", name, err)
	}
	var options []string
	if !operations {
		options = append(options, "publish = 'insert, update, delete, truncate'")
	}
	if !root {
		options = append(options, "publish_via_partition_root = true")
	}
	return &Publication{Owner: owner, AllTables: all, Options: strings.Join(options, ", "), LeavesOut: gencols != "s"}, nil
}
