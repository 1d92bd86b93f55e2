package pgtemp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// startTimeout bounds a start whose context has no deadline. Recovery after a crash in the middle of a large transaction takes seconds.
const startTimeout = 2 * time.Minute

// engine is what runs the server: processes of this machine or a container. Not safe for concurrent use.
type engine interface {
	// start starts the server on port, on the data of the last start if there was one. It does not wait until the server answers.
	start(ctx context.Context, port int) error
	// exited is closed when the server has ended, whatever the reason. Valid after start.
	exited() <-chan struct{}
	// output is the end of the server's log, for error messages.
	output() string
	// pid is the process id of the postmaster on this machine, 0 when it does not run.
	pid() int
	// stop ends the server in an orderly way, by force when ctx ends first. Nothing runs afterwards.
	stop(ctx context.Context) error
	// kill ends all of the server's processes with SIGKILL and returns when they are gone.
	kill() error
	// remove deletes the data, unless the caller of Start named its directory.
	remove() error
}

// Server is one Postgres server. Its methods may be called from several goroutines.
type Server struct {
	port    int
	version int

	mu      sync.Mutex // held while the server is started, stopped or killed
	engine  engine
	removed bool
}

// Start starts a Postgres server and returns when it answers queries. ctx bounds the start only, to two minutes when it has
// no deadline; the server runs until Stop, or at the latest until this process ends. After an error nothing is left behind.
func Start(ctx context.Context, opts Options) (*Server, error) {
	ctx, cancel := withStartTimeout(ctx)
	defer cancel()
	eng, err := newEngine(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("start a temporary Postgres: %w", err)
	}
	s := &Server{engine: eng, port: opts.Port}
	if err := s.startOnFreePort(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start a temporary Postgres: %w", err), eng.kill(), eng.remove())
	}
	return s, nil
}

func newEngine(ctx context.Context, opts Options) (engine, error) {
	bin, err := findBinaries(ctx, opts.BinDir)
	if err == nil {
		return newCluster(ctx, bin, opts)
	}
	if errors.Is(err, ErrNotFound) && dockerAnswers(ctx) {
		return newContainer(opts), nil
	}
	return nil, err
}

// startOnFreePort picks a port unless one was given, and another one if somebody took it before Postgres did.
func (s *Server) startOnFreePort(ctx context.Context) error {
	given := s.port != 0
	for attempt := 0; ; attempt++ {
		if !given {
			port, err := freePort(ctx)
			if err != nil {
				return err
			}
			s.port = port
		}
		err := s.startAndWait(ctx)
		if err == nil || given || attempt == 4 || ctx.Err() != nil || portIsFree(ctx, s.port) {
			return err
		}
	}
}

func (s *Server) startAndWait(ctx context.Context) error {
	if err := s.engine.start(ctx, s.port); err != nil {
		return err
	}
	return s.waitReady(ctx)
}

// waitReady returns when a query is answered. An open port is not enough: during recovery Postgres accepts connections and refuses them.
func (s *Server) waitReady(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		last := s.askVersion(ctx)
		if last == nil {
			return nil
		}
		select {
		case <-s.engine.exited():
			return fmt.Errorf("the server on port %d ended before it answered; the end of its log:\n%s", s.port, s.engine.output())
		case <-ctx.Done():
			return fmt.Errorf("wait for the server on port %d (%w), its last answer: %w; the end of its log:\n%s",
				s.port, ctx.Err(), last, s.engine.output())
		case <-tick.C:
		}
	}
}

func (s *Server) askVersion(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return err
	}
	var text string
	err = conn.QueryRow(ctx, "SHOW server_version_num").Scan(&text)
	if err == nil {
		var num int
		num, err = strconv.Atoi(text)
		s.version = num / 10000
	}
	return errors.Join(err, conn.Close(ctx))
}

// URL is the connection string for a database, as the superuser postgres. The database need not exist.
func (s *Server) URL(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.User("postgres"),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)), Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Version is the major version of the server, 15 for example.
func (s *Server) Version() int { return s.version }

// PID is the process id of the postmaster, 0 when the server does not run.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.engine.pid()
}

// CreateDatabase creates an empty database.
func (s *Server) CreateDatabase(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	// Of template0, which takes no connections: one to template1, as of autovacuum, would make this fail.
	if _, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()+" TEMPLATE template0"); err != nil {
		err = fmt.Errorf("create database %s: %w", name, err)
	}
	return errors.Join(err, conn.Close(ctx))
}

// Stop shuts the server down (fast mode: open transactions are rolled back) and removes its data unless [Options.Dir] named
// the place. A server that does not end in time, because a replication client does not take its last WAL for example, is
// ended by force: after 5 seconds or when ctx ends. Nothing runs afterwards, whatever the error. A second Stop does nothing.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.removed {
		return nil
	}
	s.removed = true
	if err := errors.Join(s.engine.stop(ctx), s.engine.remove()); err != nil {
		return fmt.Errorf("stop the temporary Postgres on port %d: %w", s.port, err)
	}
	return nil
}

// Kill ends the postmaster and all its children with SIGKILL, as a crash does, and returns when they are gone. The data
// stays for Restart. It is an error when the server does not run: the crash that the caller wanted did not happen.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.engine.pid() == 0 {
		return fmt.Errorf("kill the temporary Postgres on port %d: it does not run", s.port)
	}
	if err := s.engine.kill(); err != nil {
		return fmt.Errorf("kill the temporary Postgres on port %d: %w", s.port, err)
	}
	return nil
}

// Restart starts the server again on the same data and port and returns when it answers queries, after recovery if it was
// killed. A running server is stopped first. ctx is used as in Start.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := withStartTimeout(ctx)
	defer cancel()
	if s.removed {
		return fmt.Errorf("restart the temporary Postgres on port %d: it was stopped, its data may be gone", s.port)
	}
	if err := s.engine.stop(ctx); err != nil {
		return fmt.Errorf("restart the temporary Postgres on port %d: %w", s.port, err)
	}
	if err := s.startAndWait(ctx); err != nil {
		return errors.Join(fmt.Errorf("restart the temporary Postgres on port %d: %w", s.port, err), s.engine.kill())
	}
	return nil
}

func withStartTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, startTimeout)
}

// freePort picks below the ports that the system gives to outgoing connections (from 32768 on Linux, 49152 elsewhere), so that
// none of those can take the server's port while it is down between Kill and Restart.
func freePort(ctx context.Context) (int, error) {
	const low, high = 15000, 32000
	for range 100 {
		if port := low + rand.IntN(high-low); portIsFree(ctx, port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("found no free TCP port on 127.0.0.1 between %d and %d", low, high)
}

func portIsFree(ctx context.Context, port int) bool {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	return err == nil && l.Close() == nil
}
