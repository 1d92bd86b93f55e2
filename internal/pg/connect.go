package pg

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// defaultConnectTimeout applies when the connection string and PGCONNECT_TIMEOUT are silent.
const defaultConnectTimeout = 15 * time.Second

// sessionSettings fix what a session prints and forbids. They win over
// settings of the role, the database and the connection string.
var sessionSettings = map[string]string{
	"DateStyle":          "ISO, MDY",
	"TimeZone":           "UTC",
	"IntervalStyle":      "postgres",
	"extra_float_digits": "1",
	"bytea_output":       "hex",
	"client_encoding":    "UTF8",
	// The catalog is read with queries that look dearer to the planner than they are: compiling
	// them takes longer than running them.
	"jit": "off",
	// What Postgres warns of may mean that changes are missing; see ingest.
	"client_min_messages": "notice",
	// The stream is not filtered by policies, so a snapshot must not be.
	"row_security": "off",
	// A snapshot of a large table takes as long as it takes; contexts bound it.
	"statement_timeout":                   "0",
	"idle_in_transaction_session_timeout": "0",
	// A host that is lost keeps its snapshot, and vacuum waits, until Postgres notices. Where it waits for the host that
	// takes two hours by default; with rows on their way TCP gives up by itself, after a quarter of an hour.
	"tcp_keepalives_idle":     "60", // seconds
	"tcp_keepalives_interval": "10",
	"tcp_keepalives_count":    "3",
}

// ParseConfig reads a connection string, a URL or key=value pairs, as libpq
// does (with its environment variables, password file, service file and
// sslmode), and fixes the settings that decide how values print. role becomes
// the application name "shapebus/<role>". The search_path stays the user's. User and password
// are read again for each connection that is opened, where they are in a file (FromFile, ~/.pgpass).
// Errors never contain the password.
func ParseConfig(url, role string) (*pgx.ConnConfig, error) {
	text, err := resolve(url)
	if err != nil {
		return nil, err
	}
	cfg, err := pgx.ParseConfig(text)
	if err != nil {
		return nil, parseError(text, err)
	}
	cfg.AfterNetConnect = renew(url)
	for name, value := range sessionSettings {
		setParam(cfg.RuntimeParams, name, value)
	}
	setParam(cfg.RuntimeParams, "application_name", "shapebus/"+role)
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = defaultConnectTimeout
	}
	return cfg, nil
}

// setParam replaces a setting whatever the case its name was written in:
// Postgres would take the later of two spellings, and a map has no later.
func setParam(params map[string]string, name, value string) {
	for old := range params {
		if strings.EqualFold(old, name) {
			delete(params, old)
		}
	}
	params[name] = value
}

// parseError does not wrap err: it carries the whole connection string.
func parseError(url string, err error) error {
	shown := Redact(url)
	if shown == unreadable {
		return errors.New("the Postgres connection string cannot be read: write postgres://user:password@host:port/database " +
			"or host=… port=… user=… dbname=…; in a URL, characters such as / ? @ : # % in the password must be percent-encoded (/ is %2F)")
	}
	reason := "it is malformed"
	if parse, ok := errors.AsType[*pgconn.ParseConfigError](err); ok {
		if inner := errors.Unwrap(parse); inner != nil {
			reason = inner.Error()
		} else if _, after, ok := strings.Cut(parse.Error(), "`: "); ok {
			reason = after
		}
	}
	return fmt.Errorf("the Postgres connection string %s cannot be used: %s", shown, reason)
}

// Connect opens a connection; the caller closes it. The error is a
// *ConnectError that says what to do. Cancelling ctx ends the attempt.
func Connect(ctx context.Context, cfg *pgx.ConnConfig) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("connect to Postgres at %s: %w", address(&cfg.Config), ctx.Err())
		}
		return nil, newConnectError(&cfg.Config, err)
	}
	return conn, nil
}

// Major returns the server's major version, such as 15. It is 0 when the
// server does not say.
func Major(conn *pgx.Conn) int {
	s := conn.PgConn().ParameterStatus("server_version")
	end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(s)
	}
	n, err := strconv.Atoi(s[:end])
	if err != nil {
		return 0
	}
	return n
}

// SQLState returns the SQLSTATE of a server error, "" for other errors.
func SQLState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}
