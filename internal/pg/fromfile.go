package pg

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// fromFile begins a connection string that names the file which holds it.
const fromFile = "file:"

// FromFile is the connection string that a file holds, now and later: who connects reads it again, so that a password can be
// changed while a service runs.
func FromFile(name string) string { return fromFile + name }

// resolve returns the connection string itself.
func resolve(url string) (string, error) {
	name, ok := strings.CutPrefix(url, fromFile)
	if !ok {
		return url, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("read the Postgres connection string: %w; give a file that this user can read", err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// renew has each connection read user and password again, from where the connection string has them: its file, or a password
// file. The configuration is the connection's own.
func renew(url string) func(context.Context, *pgconn.Config, net.Conn) (net.Conn, error) {
	return func(_ context.Context, cfg *pgconn.Config, conn net.Conn) (net.Conn, error) {
		text, err := resolve(url)
		if err != nil {
			return conn, err
		}
		now, err := pgx.ParseConfig(text)
		if err != nil {
			return conn, parseError(text, err)
		}
		cfg.User, cfg.Password = now.User, now.Password
		return conn, nil
	}
}
