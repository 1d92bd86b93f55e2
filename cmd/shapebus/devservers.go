package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/term"
	"github.com/shapebus/shapebus/pkg/natsembed"
	"github.com/shapebus/shapebus/pkg/pgtemp"
	"github.com/shapebus/shapebus/pkg/topology"
)

// natsPort is where NATS' tools, and the other commands here, look for a server.
const natsPort = 4222

// devServers are the servers that dev runs for its services.
type devServers struct {
	nats     *natsembed.Server
	postgres *pgtemp.Server // nil when the database is somebody else's
	database string         // connection string
	kept     bool           // the data outlives this process
}

func (c *devCmd) startServers(ctx context.Context, log *slog.Logger) (*devServers, error) {
	url, err := c.given()
	if err != nil {
		return nil, err
	}
	s := &devServers{database: url, kept: c.DataDir != ""}
	natsDir, postgresDir := "", ""
	if s.kept {
		natsDir, postgresDir = filepath.Join(c.DataDir, "nats"), filepath.Join(c.DataDir, "postgres")
	}
	if s.nats, err = startNATS(ctx, natsDir, c.NATSPort, log); err != nil {
		return nil, err
	}
	if url != "" {
		return s, nil
	}
	log.InfoContext(ctx, "starting a throw-away Postgres; give --database-url to use another")
	if s.postgres, err = pgtemp.Start(ctx, pgtemp.Options{Dir: postgresDir, Port: c.PGPort, Fsync: s.kept}); err != nil {
		return nil, errors.Join(err, s.stop(ctx))
	}
	s.database = s.postgres.URL("postgres")
	return s, nil
}

// startNATS starts the embedded server on the port asked for, or on NATS' own if it is free.
func startNATS(ctx context.Context, dir string, port int, log *slog.Logger) (*natsembed.Server, error) {
	if port == 0 {
		port = -1
		if free(ctx, natsPort) {
			port = natsPort
		}
	}
	return natsembed.Start(natsembed.Options{Dir: dir, Port: port, Log: log.With(slog.String("service", "nats"))})
}

func free(ctx context.Context, port int) bool {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	return err == nil && l.Close() == nil
}

func (s *devServers) connect(log *slog.Logger, role string) (*nats.Conn, error) {
	return s.nats.Connect(connectionOptions(log, role, nil, nil)...)
}

// stop ends the servers; what was temporary is removed.
func (s *devServers) stop(ctx context.Context) error {
	s.nats.Stop()
	if s.postgres == nil {
		return nil
	}
	return s.postgres.Stop(ctx)
}

// banner says what runs and what to type next.
func (s *devServers) banner(out *console, source topology.Source, web, secret string) error {
	p := term.Palette{On: out.color}
	database, note := pg.Redact(s.database), ""
	if s.postgres != nil {
		database, note = s.database, p.Dim("  (throw-away)")
		if s.kept {
			note = p.Dim("  (kept in --data-dir)")
		}
	}
	text := &strings.Builder{}
	fmt.Fprintf(text, "\n%s  Ctrl-C stops.\n\n", p.Bold("Shapebus runs."))
	fmt.Fprintf(text, "  Postgres  %s%s\n", database, note)
	fmt.Fprintf(text, "  NATS      %s  %s\n", s.nats.ClientURL(), p.Dim("(streams in "+s.nats.Dir()+")"))
	fmt.Fprintf(text, "  HTTP      %s/v1/shape\n", web)
	fmt.Fprintf(text, "  Console   %s/console  %s\n", web, p.Dim("(secret: "+secret+")"))
	fmt.Fprintf(text, "  Source    %s\n\n%s\n", source, p.Dim("In another terminal:"))
	if !strings.HasSuffix(s.nats.ClientURL(), fmt.Sprintf(":%d", natsPort)) {
		fmt.Fprintf(text, "  export SHAPEBUS_NATS_URL=%s\n", s.nats.ClientURL())
	}
	if source != "main" {
		fmt.Fprintf(text, "  export SHAPEBUS_SOURCE=%s\n", source)
	}
	psql, self := fmt.Sprintf("psql '%s'", database), os.Args[0] // as the reader has called it
	fmt.Fprintf(text, "  %s -c 'CREATE TABLE tasks (id int PRIMARY KEY, title text, done boolean)'\n", psql)
	fmt.Fprintf(text, "  %s shape tail tasks --where 'NOT done'\n\n%s\n", self, p.Dim("and in a third:"))
	fmt.Fprintf(text, "  %s -c \"INSERT INTO tasks VALUES (1, 'try Shapebus', false)\"\n", psql)
	fmt.Fprintf(text, "  %s status\n\n", self)
	_, err := fmt.Fprint(out.stdout, text.String())
	return err
}
