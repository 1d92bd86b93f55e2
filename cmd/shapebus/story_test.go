package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/shapebus/shapebus/pkg/natsembed"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
	"github.com/shapebus/shapebus/pkg/topology"
)

// patience bounds every wait of a story.
const patience = 90 * time.Second

// storyTime bounds a story: its commands wait for things that a mistake keeps from happening. A story's time begins before its
// turn comes, as others run beside it.
const storyTime = 15 * time.Minute

// suite runs the tests with this package's main as the command "shapebus".
type suite struct{ m *testing.M }

func (s suite) Run() int { return pgtest.Main(s.m) }

func TestMain(m *testing.M) {
	testscript.Main(suite{m}, map[string]func(){"shapebus": main})
}

// TestStories runs testdata/*.txtar, one user story each, against the built
// binary. See stage for what a story finds.
func TestStories(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(strings.ReplaceAll(name, "_", " "), func(t *testing.T) {
			t.Parallel()
			s := &stage{t: t, pure: name == "usage"}
			if !s.pure {
				s.database = pgtest.Database(t) // skips the story in -short
			}
			testscript.Run(t, testscript.Params{Files: []string{file}, Setup: s.setup, Cmds: s.commands(), RequireExplicitExec: true, Deadline: time.Now().Add(storyTime)})
		})
	}
}

// stage is what a story plays on. It finds an empty database in $DATABASE,
// JetStream in $NATS, a source of its own, all in the binary's environment too,
// and these commands:
//
//	exits CODE COMMAND…       runs a command that must exit with the code
//	eventually REGEXP COMMAND…  runs it again and again until its output matches
//	sql STATEMENT…            runs SQL in $DATABASE
//	postgres [NAME=VALUE…]    replaces $DATABASE by a server with other settings
//	libpq                     moves $DATABASE from our environment to libpq's: PGHOST, PGPORT, PGDATABASE
//	port NAME…                sets variables to free ports
//	prepare                   runs the statements that the last check printed for a table
//	read FILE NAME            sets a variable to the file's text
//	fill FILE BYTES           writes a where clause of that size
//	role NAME PASSWORD        makes a role that must give a password, without any right
//	collector FILE            starts a collector of traces at $COLLECTOR, which adds a line to the file for each span
//	nats plain                replaces $NATS by a server without JetStream
//	nats password             replaces it by one with user app, password right
//	nats narrow               replaces it by one with users service and reader, password right, and no more rights than they need
type stage struct {
	t    *testing.T
	pure bool // needs no servers

	database string // "" if pure
}

func (s *stage) setup(env *testscript.Env) error {
	env.Setenv("SHAPEBUS_SOURCE", fmt.Sprintf("t%08x", rand.Uint32()))
	env.Setenv("SHAPEBUS_LISTEN", "")
	env.Setenv("NO_COLOR", "1")
	env.Setenv("TMPDIR", os.TempDir()) // a story's own is closed to the user that Postgres runs as
	if s.pure {
		return nil
	}
	ns, err := natsembed.Start(natsembed.Options{Dir: s.t.TempDir(), Port: -1})
	if err != nil {
		return err
	}
	s.t.Cleanup(ns.Stop)
	setDatabase(env, s.database)
	setNATS(env, ns.ClientURL())
	return nil
}

type environment interface{ Setenv(key, value string) }

func setDatabase(env environment, url string) {
	env.Setenv("DATABASE", url)
	env.Setenv("SHAPEBUS_DATABASE_URL", url)
}

func setNATS(env environment, url string) {
	env.Setenv("NATS", url)
	env.Setenv("SHAPEBUS_NATS_URL", url)
}

type command = func(ts *testscript.TestScript, neg bool, args []string)

func (s *stage) commands() map[string]command {
	return map[string]command{
		"exits": exits, "eventually": eventually, "sql": s.sql, "postgres": s.postgres, "role": s.role, "nats": s.nats,
		"libpq": libpq, "fill": fill, "port": port, "read": read, "prepare": s.prepare, "collector": s.collector,
	}
}

func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%s exits with %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

func eventually(ts *testscript.TestScript, _ bool, args []string) {
	want := regexp.MustCompile("(?m)" + args[0])
	deadline := time.After(patience)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ts.Exec(args[1], args[2:]...)
		out := ts.ReadFile("stdout") + ts.ReadFile("stderr")
		if err == nil && want.MatchString(out) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("%s: no %q after %s, last: %v\n%s", strings.Join(args[1:], " "), args[0], patience, err, out)
		}
	}
}

func (s *stage) sql(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(s.run(ts.Getenv("DATABASE"), args...))
}

func (s *stage) run(url string, statements ...string) error {
	conn, err := pgx.Connect(s.t.Context(), url)
	if err != nil {
		return err
	}
	defer conn.Close(s.t.Context())
	for _, stmt := range statements {
		if _, err := conn.PgConn().Exec(s.t.Context(), stmt).ReadAll(); err != nil {
			return fmt.Errorf("%s: %w", stmt, err)
		}
	}
	return nil
}

func (s *stage) postgres(ts *testscript.TestScript, _ bool, args []string) {
	settings := map[string]string{}
	for _, a := range args {
		name, value, _ := strings.Cut(a, "=")
		settings[name] = value
	}
	setDatabase(ts, pgtest.Own(s.t, settings).URL("postgres"))
}

func libpq(ts *testscript.TestScript, _ bool, _ []string) {
	cfg, err := pgx.ParseConfig(ts.Getenv("DATABASE"))
	ts.Check(err)
	ts.Setenv("SHAPEBUS_DATABASE_URL", "")
	ts.Setenv("PGHOST", cfg.Host)
	ts.Setenv("PGPORT", strconv.Itoa(int(cfg.Port)))
	ts.Setenv("PGDATABASE", cfg.Database)
}

func port(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		free, err := natstest.FreePort(context.Background())
		ts.Check(err)
		ts.Setenv(name, strconv.Itoa(free))
	}
}

func (s *stage) prepare(ts *testscript.TestScript, _ bool, _ []string) {
	m := regexp.MustCompile(`→ (BEGIN; .*; COMMIT)`).FindStringSubmatch(ts.ReadFile("stdout"))
	if m == nil {
		ts.Fatalf("the last command printed no statements")
	}
	ts.Check(s.run(ts.Getenv("DATABASE"), m[1]))
}

func read(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[1], strings.TrimSpace(ts.ReadFile(args[0])))
}

func fill(ts *testscript.TestScript, _ bool, args []string) {
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	const head = "title = '"
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(head+strings.Repeat("x", size-len(head)-1)+"'"), 0o600))
}

func (s *stage) role(ts *testscript.TestScript, _ bool, args []string) {
	url, name := ts.Getenv("DATABASE"), args[0]
	conn, err := pgx.Connect(s.t.Context(), url)
	ts.Check(err)
	defer conn.Close(s.t.Context())
	var hba string
	ts.Check(conn.QueryRow(s.t.Context(), "SHOW hba_file").Scan(&hba))
	rules, err := os.ReadFile(hba)
	ts.Check(err)
	ts.Check(os.WriteFile(hba, append([]byte("host all "+name+" all scram-sha-256\n"), rules...), 0o600))
	ts.Check(s.run(url, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", name, args[1]), "SELECT pg_reload_conf()"))
}

func permissions(publish, subscribe []string) *server.Permissions {
	return &server.Permissions{Publish: &server.SubjectPermission{Allow: publish}, Subscribe: &server.SubjectPermission{Allow: subscribe}}
}

// readerSubjects are what docs/OPERATIONS.md says an app needs that reads shapes and makes none.
func readerSubjects(source topology.Source) (publish, subscribe []string) {
	publish = []string{source.ControlPlane() + ".shape.get", source.ControlPlane() + ".shape.list"}
	for p := range 8 { // a wildcard stands for a whole token, and the partition is half of one
		stream := source.ShapeStream(p)
		publish = append(publish, "$JS.API.STREAM.INFO."+stream, "$JS.API.DIRECT.GET."+stream, "$JS.API.DIRECT.GET."+stream+".>")
	}
	return publish, []string{"sb." + string(source) + ".live.>", "_INBOX.<user>.>"}
}

func (s *stage) nats(ts *testscript.TestScript, _ bool, args []string) {
	opts := &server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true}
	switch args[0] {
	case "plain":
	case "password":
		opts.JetStream, opts.StoreDir = true, s.t.TempDir()
		opts.Users = []*server.User{{Username: "app", Password: "right"}}
	case "narrow":
		opts.JetStream, opts.StoreDir = true, s.t.TempDir()
		source := topology.Source(ts.Getenv("SHAPEBUS_SOURCE"))
		publish, subscribe := neededSubjects(source, "_INBOX.service", "")
		readerPublish, readerSubscribe := readerSubjects(source)
		for i := range readerSubscribe {
			readerSubscribe[i] = strings.ReplaceAll(readerSubscribe[i], "<user>", "reader")
		}
		opts.Users = []*server.User{
			{Username: "service", Password: "right", Permissions: permissions(append(publish, "$SYS.REQ.USER.INFO"), subscribe)},
			{Username: "reader", Password: "right", Permissions: permissions(readerPublish, readerSubscribe)},
		}
	case "tenants": // the example of docs/OPERATIONS.md
		conf, err := os.ReadFile(filepath.Join("testdata", "tenants.conf"))
		ts.Check(err)
		ts.Check(opts.ProcessConfigString(strings.ReplaceAll(string(conf), "main", ts.Getenv("SHAPEBUS_SOURCE"))))
		opts.Host, opts.Port, opts.NoSigs, opts.NoLog, opts.StoreDir = "127.0.0.1", -1, true, true, s.t.TempDir()
	default:
		ts.Fatalf("nats %s: want plain, password, narrow or tenants", args[0])
	}
	srv, err := server.NewServer(opts)
	ts.Check(err)
	srv.Start()
	s.t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(patience) {
		ts.Fatalf("NATS is not ready")
	}
	setNATS(ts, srv.ClientURL())
}
