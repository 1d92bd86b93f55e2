package pg

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
)

// ConnectError is a failed attempt to connect. Its text names host, database
// and user, never the password, and says what to do.
type ConnectError struct {
	Address  string // host:port, or the directory of the Unix socket
	Database string
	User     string
	Reason   string // in words
	Fix      string // what to do; may be empty
	Err      error  // the cause, for errors.As
}

func (e *ConnectError) Error() string {
	s := fmt.Sprintf("cannot connect to Postgres at %s (database %q, user %q): %s", e.Address, e.Database, e.User, e.Reason)
	if e.Fix != "" {
		s += "; " + e.Fix
	}
	return s
}

func (e *ConnectError) Unwrap() error { return e.Err }

// Temporary reports whether trying again later may help without anybody
// changing anything: the server is starting, unreachable or full.
func (e *ConnectError) Temporary() bool {
	switch code := SQLState(e.Err); {
	case code == "":
		_, cert := errors.AsType[*tls.CertificateVerificationError](e.Err)
		return !cert && !strings.Contains(e.Err.Error(), "server refused TLS")
	case code == "57P03", strings.HasPrefix(code, "53"), strings.HasPrefix(code, "57P"), strings.HasPrefix(code, "08"):
		return !strings.Contains(e.Err.Error(), "unsupported startup parameter")
	}
	return false
}

// Denied reports whether the server does not believe who this is: a password or a role that is wrong, perhaps because it has
// been changed.
func (e *ConnectError) Denied() bool {
	switch SQLState(e.Err) {
	case "28P01", "28000":
		return true
	}
	return false
}

func address(cfg *pgconn.Config) string {
	if strings.HasPrefix(cfg.Host, "/") {
		return fmt.Sprintf("%s (port %d)", cfg.Host, cfg.Port)
	}
	addr := net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))
	for _, f := range cfg.Fallbacks {
		if other := net.JoinHostPort(f.Host, strconv.Itoa(int(f.Port))); !strings.Contains(addr, other) {
			addr += "," + other
		}
	}
	return addr
}

func newConnectError(cfg *pgconn.Config, err error) *ConnectError {
	e := &ConnectError{Address: address(cfg), Database: cfg.Database, User: cfg.User, Err: err}
	if server, ok := errors.AsType[*pgconn.PgError](err); ok {
		e.Reason = server.Message
		e.Fix = serverFix(cfg, server)
		return e
	}
	e.Reason, e.Fix = networkFix(cfg, err)
	return e
}

// serverFix says what to do about an error that the server itself sent.
func serverFix(cfg *pgconn.Config, err *pgconn.PgError) string {
	switch {
	case strings.Contains(err.Message, "unsupported startup parameter"):
		return "this is a connection pooler: give the address of Postgres itself, replication and snapshots need a session of their own"
	case err.Code == "28P01":
		return "check the user and the password (in the URL, in PGPASSWORD or in ~/.pgpass)"
	case err.Code == "28000" && strings.Contains(err.Message, "does not exist"):
		return fmt.Sprintf("create the role: CREATE ROLE %s LOGIN REPLICATION PASSWORD '…'", Ident(cfg.User))
	case err.Code == "28000":
		return "allow this client in pg_hba.conf (SHOW hba_file) and run SELECT pg_reload_conf(); if the server wants TLS, use sslmode=require"
	case err.Code == "3D000":
		return fmt.Sprintf("create it with CREATE DATABASE %s, or correct the name in the connection string", Ident(cfg.Database))
	case err.Code == "42501":
		return fmt.Sprintf("run GRANT CONNECT ON DATABASE %s TO %s", Ident(cfg.Database), Ident(cfg.User))
	case err.Code == "53300":
		return "raise max_connections, or end connections that nobody uses"
	case err.Code == "57P03":
		return "the server is starting or stopping: wait, then try again"
	}
	return ""
}

// networkFix says what happened on the way to the server and what to do.
func networkFix(cfg *pgconn.Config, err error) (reason, fix string) {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Sprintf("the name %s cannot be resolved (%s)", dns.Name, dns.Err), "check the host name"
	}
	_, isCert := errors.AsType[*tls.CertificateVerificationError](err)
	_, isAuthority := errors.AsType[x509.UnknownAuthorityError](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused", "start the server, or correct host and port; it must listen there (SHOW listen_addresses)"
	case errors.Is(err, syscall.ENOENT):
		return "there is no server socket in this directory", "start the server, or give host and port"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "the host cannot be reached", "check the network and the firewall"
	case isCert || isAuthority:
		return "the server's certificate is not accepted: " + innermost(err),
			"give the authority's certificate with sslrootcert=…, and connect to a host name that the certificate names"
	case strings.Contains(err.Error(), "server refused TLS"):
		return "the server does not speak TLS", "turn ssl on in the server, or use sslmode=prefer if the network is trusted"
	case pgconn.Timeout(err), errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer within %s", cfg.ConnectTimeout), "check the network and the firewall; connect_timeout changes the limit"
	}
	return innermost(err), ""
}

// innermost is the text of the last error in the chain, without the layers
// that repeat the address.
func innermost(err error) string {
	for {
		next := errors.Unwrap(err)
		if all, ok := errors.AsType[interface {
			error
			Unwrap() []error
		}](err); next == nil && ok && len(all.Unwrap()) > 0 {
			next = all.Unwrap()[len(all.Unwrap())-1]
		}
		if next == nil {
			return err.Error()
		}
		err = next
	}
}
