package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/topology"
)

const (
	// natsTimeout bounds one attempt to reach one server.
	natsTimeout = 5 * time.Second
	// natsReconnect is the pause before a server is tried again that is down, and as much the longest that a restart adds.
	natsReconnect = 250 * time.Millisecond
	// natsRetry is the pause between attempts while a service waits for NATS.
	natsRetry = 2 * time.Second
	// jetStreamPatience is how long a service waits for JetStream on a server
	// that answers: a cluster that has just started elects its leader first.
	jetStreamPatience = 10 * time.Second
)

// connect opens a connection for a command that somebody waits for: it tries once. denied, if not nil, is called when the
// server refuses a subject; who waits for an answer on it would wait in vain.
func (f *natsFlags) connect(log *slog.Logger, role string, denied func(error)) (*nats.Conn, error) {
	return f.dial(connectionOptions(log, role, nil, denied))
}

// await opens a connection for a service: it waits, saying so, while no server can be reached, and returns the errors
// that waiting does not cure. closed is called if the connection ends for good later.
func (f *natsFlags) await(ctx context.Context, log *slog.Logger, role string, closed func(error)) (*nats.Conn, error) {
	tick := time.NewTicker(natsRetry)
	defer tick.Stop()
	for {
		nc, err := f.dial(connectionOptions(log, role, closed, nil))
		if err == nil {
			if err := f.awaitJetStream(ctx, log, nc); err != nil {
				nc.Close()
				return nil, err
			}
			return nc, nil
		}
		if !unreachable(err) {
			return nil, err
		}
		log.WarnContext(ctx, "waiting for NATS", slog.String("servers", f.address()), slog.Any("error", err))
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

func (f *natsFlags) dial(more []nats.Option) (*nats.Conn, error) {
	servers, err := f.servers()
	if err != nil {
		return nil, err
	}
	opts, err := f.options()
	if err != nil {
		return nil, err
	}
	nc, err := nats.Connect(servers, append(opts, more...)...)
	if err != nil {
		return nil, f.explain(err)
	}
	return nc, nil
}

// connectionOptions are what every connection has, embedded or not: a name for the server's operator, reconnection without
// end, and every event in the log.
func connectionOptions(log *slog.Logger, role string, closed, denied func(error)) []nats.Option {
	return []nats.Option{
		nats.Name("shapebus " + role),
		nats.Timeout(natsTimeout),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(natsReconnect),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("lost the connection to NATS, reconnecting", slog.Any("error", err))
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info("reconnected to NATS", slog.String("server", nc.ConnectedUrlRedacted()))
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			if denied != nil && errors.Is(err, nats.ErrPermissionViolation) {
				denied(notPermitted(err))
				return
			}
			attrs := []any{slog.Any("error", err)}
			if sub != nil {
				attrs = append(attrs, slog.String("subject", sub.Subject))
			}
			if errors.Is(err, nats.ErrSlowConsumer) { // dropped live messages are read from the log
				log.Debug("NATS client fell behind", attrs...)
				return
			}
			log.Warn("NATS client error", attrs...)
		}),
		nats.ClosedHandler(func(nc *nats.Conn) {
			if closed != nil {
				closed(fmt.Errorf("the connection to NATS was closed for good: %w", errors.Join(nc.LastError(), nats.ErrConnectionClosed)))
			}
		}),
	}
}

// unreachable reports whether the error is a server that is not there (yet), or goes away while it is greeted.
func unreachable(err error) bool {
	_, isDNS := errors.AsType[*net.DNSError](err)
	_, isOp := errors.AsType[*net.OpError](err)
	return errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, nats.ErrNoInfoReceived) || errors.Is(err, nats.ErrStaleConnection) || isDNS || isOp && !isTLS(err)
}

func isTLS(err error) bool {
	_, isCert := errors.AsType[*tls.CertificateVerificationError](err)
	_, isAuthority := errors.AsType[x509.UnknownAuthorityError](err)
	_, isHost := errors.AsType[x509.HostnameError](err)
	_, isAlert := errors.AsType[tls.AlertError](err)
	return isCert || isAuthority || isHost || isAlert || errors.Is(err, nats.ErrTLS)
}

// natsError is a failed attempt to connect to NATS, with what to do.
type natsError struct {
	address string
	err     error
	fix     string
}

func (e *natsError) Error() string {
	return fmt.Sprintf("cannot connect to NATS at %s: %v; %s", e.address, e.err, e.fix)
}

func (e *natsError) Unwrap() error { return e.err }

// explain says what failed, on which server, and what to do.
func (f *natsFlags) explain(err error) error {
	fix := "check the address (--nats-url)"
	if bad, ok := errors.AsType[*url.Error](err); ok { // its text is the whole URL, with what secrets it holds
		return &natsError{f.address(), bad.Err, fix}
	}
	switch {
	case isTLS(err):
		fix = "name the authority that signed the server's certificate with --nats-tls-ca, connect to a host name that the certificate holds, and give --nats-tls-cert and --nats-tls-key if the server asks for a client certificate"
	case errors.Is(err, nats.ErrSecureConnRequired), errors.Is(err, nats.ErrSecureConnWanted):
		fix = "server and client disagree about TLS: use tls://… with --nats-tls-ca, or nats://… for a server without TLS"
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked), errors.Is(err, nats.ErrAccountAuthExpired):
		fix = "check the credentials: --nats-creds, --nats-nkey, or --nats-user with SHAPEBUS_NATS_PASSWORD or --nats-password-file"
	case unreachable(err):
		fix = "start a server (nats-server --jetstream --store_dir DIR, or shapebus dev), or give its address with --nats-url"
	}
	return &natsError{f.address(), err, fix}
}

// requireJetStream returns what to do if the server has no JetStream for this user.
func requireJetStream(ctx context.Context, nc *nats.Conn, prefix string) error {
	js, err := topology.JetStream(nc, prefix)
	if err != nil {
		return err
	}
	if _, err = js.AccountInfo(ctx); err != nil {
		return fmt.Errorf("JetStream on NATS server %s: %w", nc.ConnectedUrlRedacted(), topology.Explain(err))
	}
	return nil
}

// awaitJetStream waits for JetStream's answer. That there is none is final, at once from a single server and after a while
// from one of a cluster. An account that imports JetStream's subjects may have no answer to ask for: there it does not wait.
func (f *natsFlags) awaitJetStream(ctx context.Context, log *slog.Logger, nc *nats.Conn) error {
	if topology.CheckWriterPrefix(f.APIPrefix) != nil {
		return nil
	}
	began := time.Now()
	tick := time.NewTicker(natsRetry)
	defer tick.Stop()
	for {
		err := requireJetStream(ctx, nc, f.APIPrefix)
		if err == nil || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
			return err
		}
		if errors.Is(err, jetstream.ErrJetStreamNotEnabled) && f.APIPrefix == "" && (nc.ConnectedClusterName() == "" || time.Since(began) > jetStreamPatience) {
			return err
		}
		log.WarnContext(ctx, "waiting for JetStream", slog.Any("error", err))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// notPermitted says what to do about a right that a NATS user lacks.
func notPermitted(err error) error {
	return fmt.Errorf("%w; grant this NATS user the right, docs/OPERATIONS.md lists what is needed", err)
}
