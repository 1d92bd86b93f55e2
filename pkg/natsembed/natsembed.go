// Package natsembed runs a NATS server with JetStream in this process: for `shapebus dev`, the demo and tests, where one
// process should be enough.
//
// It is one node with a file store, reached in this process without a socket and, if asked for, over TCP on loopback. A
// message that was acknowledged is in the operating system's hands: it survives the death of this process, and after
// [Options.SyncInterval] that of the machine.
//
// The package refuses to be a production server: no cluster, no accounts, no TLS, no listener beyond loopback. It installs
// no signal handlers and never ends the process. Services do not know it: they are given a connection.
package natsembed

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/tempdir"
)

// readyTimeout bounds the start. Opening a store reads all of its streams, one after another.
const readyTimeout = time.Minute

// maxPending is what the server holds for one connection, and what one stream takes in ahead of its disk, before it cuts the one
// off or refuses the other. NATS' own 64 and 128 MiB are less than a few readers of packed messages may have in flight.
const maxPending = 256 << 20

// Options says how to run the server. The zero value is useful.
type Options struct {
	// Dir keeps the streams. Empty: a new temporary directory, removed by [Server.Stop], or after a kill
	// by the next Start on the machine. Another server must not use it at the same time; Start refuses to.
	Dir string

	// Port is the TCP port on 127.0.0.1. 0: no listener, only connections from this process; -1: a free port.
	Port int

	// MaxPayload is the largest message in bytes, at most 64 MiB. Default 1 MiB, as in a NATS server that nobody configured.
	MaxPayload int

	// SyncInterval is how long an acknowledged message may wait for its fsync. Default 1 s (a NATS server's own: 2 min).
	SyncInterval time.Duration

	// MaxStore bounds the store in bytes. 0: three quarters of what is free on the disk.
	MaxStore int64

	// Name is the server's name in its log and its clients' view. Default "shapebus".
	Name string

	// Log receives the server's log. nil: nothing is logged.
	Log *slog.Logger
}

// Server is one running NATS server. Its methods but SetMaxPayload may be called from several goroutines.
type Server struct {
	srv  *server.Server
	conf *server.Options // as the server was configured last
	dir  string
	ours *tempdir.Dir // dir, if it was made here; else lock is set
	lock *os.File
	port int
}

// Start starts a server and returns when it accepts connections and JetStream has its streams open. After an error nothing
// is left behind.
func Start(opts Options) (*Server, error) {
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("start an embedded NATS server: %w", err)
	}
	s := &Server{dir: opts.Dir, port: opts.Port}
	if err := s.openDir(); err != nil {
		return nil, fmt.Errorf("start an embedded NATS server: %w", err)
	}
	if err := s.run(opts); err != nil {
		s.Stop()
		return nil, fmt.Errorf("start an embedded NATS server in %s: %w", s.dir, err)
	}
	return s, nil
}

func (o Options) validate() error {
	switch {
	case o.Port < -1 || o.Port > math.MaxUint16:
		return fmt.Errorf("port %d is none; use 1 to 65535, -1 for a free one or 0 for no listener", o.Port)
	case o.MaxPayload < 0 || o.MaxPayload > server.MAX_PAYLOAD_MAX_SIZE*8:
		return fmt.Errorf("max payload %d is out of range; use 1 to %d bytes", o.MaxPayload, server.MAX_PAYLOAD_MAX_SIZE*8)
	case o.SyncInterval < 0:
		return fmt.Errorf("sync interval %s is negative", o.SyncInterval)
	case o.MaxStore < 0:
		return fmt.Errorf("max store %d is negative; use 0 for what the disk permits", o.MaxStore)
	}
	return nil
}

func (s *Server) openDir() error {
	var err error
	if s.dir == "" {
		if s.ours, err = tempdir.New("shapebus-nats-"); err == nil {
			s.dir = s.ours.Path()
		}
	} else if s.dir, err = filepath.Abs(s.dir); err == nil {
		err = os.MkdirAll(s.dir, 0o755)
	}
	if err != nil {
		return fmt.Errorf("make its directory: %w", err)
	}
	if s.ours == nil {
		// NATS does not lock it. Two servers on one store damage it, and the second opens the store before it finds its port taken.
		s.lock, err = tempdir.Lock(s.dir)
	}
	return err
}

func (s *Server) run(opts Options) error {
	conf := &server.Options{
		ServerName:            cmp.Or(opts.Name, "shapebus"),
		Host:                  "127.0.0.1",
		Port:                  opts.Port,
		DontListen:            opts.Port == 0,
		JetStream:             true,
		StoreDir:              s.dir,
		SyncInterval:          cmp.Or(opts.SyncInterval, time.Second),
		JetStreamMaxStore:     opts.MaxStore,
		MaxPayload:            int32(cmp.Or(opts.MaxPayload, server.MAX_PAYLOAD_SIZE)),
		MaxPending:            maxPending,
		StreamMaxBufferedSize: maxPending,
		NoSigs:                true,
		Debug:                 false,
	}
	conf.JetStreamLimits.DefaultMaxConsumers = -1 // else 1000 a stream
	srv, err := server.NewServer(conf)
	if err != nil {
		return err
	}
	s.srv, s.conf = srv, conf.Clone()
	log := &logger{log: opts.Log}
	srv.SetLogger(log, false, false)
	srv.Start()
	// A server that fails to start says so in its log only, and would keep ReadyForConnections waiting in vain.
	if err := log.failure(); err != nil {
		return err
	}
	if !srv.ReadyForConnections(readyTimeout) {
		return errors.Join(fmt.Errorf("it was not ready after %s", readyTimeout), log.failure())
	}
	return nil
}

// Connect opens a connection within this process, without a socket. The caller closes it. After Stop it is cut like any
// other connection, and it cannot come back, even if another server is started on the same directory.
func (s *Server) Connect(opts ...nats.Option) (*nats.Conn, error) {
	nc, err := nats.Connect("", append(slices.Clip(opts), nats.InProcessServer(s.srv))...)
	if err != nil {
		return nil, fmt.Errorf("connect to the embedded NATS server: %w", err)
	}
	return nc, nil
}

// ClientURL is the address for clients of other processes on this machine, empty without a listener.
func (s *Server) ClientURL() string {
	if s.port == 0 {
		return ""
	}
	return s.srv.ClientURL()
}

// SetMaxPayload changes the size in bytes of the largest message while the server runs, as reloading a server's
// configuration does. Clients are not told: the server closes the connection of one that sends a larger message.
func (s *Server) SetMaxPayload(bytes int) error {
	if err := (Options{MaxPayload: bytes}).validate(); err != nil {
		return fmt.Errorf("set max payload: %w", err)
	}
	conf := s.conf.Clone()
	conf.MaxPayload = int32(cmp.Or(bytes, server.MAX_PAYLOAD_SIZE))
	if err := s.srv.ReloadOptions(conf); err != nil {
		return fmt.Errorf("set max payload: %w", err)
	}
	s.conf = conf.Clone()
	return nil
}

// Dir is the directory of the store.
func (s *Server) Dir() string { return s.dir }

// Stop closes all connections, writes everything to disk and, if Start made the directory, removes it. It returns when the
// server is gone. A second Stop does nothing.
func (s *Server) Stop() {
	if s.srv != nil {
		s.srv.Shutdown()
		s.srv.WaitForShutdown()
	}
	if s.ours != nil {
		_ = s.ours.Remove() // what cannot be removed is for the next Start to try again
	} else {
		_ = s.lock.Close() // only a second Stop gets an error here
	}
}
