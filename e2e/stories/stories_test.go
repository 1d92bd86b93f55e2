// Package stories plays what a user does from a terminal, as scripts that read
// like a session: testdata/*.txtar, one story each, against the built binary in
// processes of its own. What single commands say, and say of mistakes, is told
// beside the commands (cmd/shapebus/testdata).
package stories

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
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// patience bounds every wait of a story.
const patience = time.Minute

// TestStories finds an empty database in $DATABASE, which shapebus is told of
// too, and a free port for NATS. Beside testscript's own commands there are
//
//	sql STATEMENT…              runs SQL in $DATABASE
//	eventually REGEXP COMMAND…  runs a command again and again until its output matches
func TestStories(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Postgres; not in -short")
	}
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "github.com/shapebus/shapebus/cmd/shapebus")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the binary: %v\n%s", err, out)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			tb, ok := env.T().(testing.TB)
			if !ok {
				return errors.New("testscript runs a story in something that is no test")
			}
			database := pgtest.Database(tb)
			free, err := natstest.FreePort(t.Context())
			if err != nil {
				return err
			}
			port := strconv.Itoa(free)
			for name, value := range map[string]string{
				"PATH":                  bin + string(filepath.ListSeparator) + env.Getenv("PATH"),
				"DATABASE":              database,
				"SHAPEBUS_DATABASE_URL": database,
				"SHAPEBUS_NATS_PORT":    port,
				"SHAPEBUS_NATS_URL":     "nats://127.0.0.1:" + port,
				"SHAPEBUS_SOURCE":       fmt.Sprintf("s%08x", rand.Uint32()),
				"NO_COLOR":              "1",
			} {
				env.Setenv(name, value)
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"sql": sql, "eventually": eventually},
	})
}

func sql(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, ts.Getenv("DATABASE"))
	ts.Check(err)
	defer conn.Close(ctx)
	for _, statement := range args {
		if _, err := conn.PgConn().Exec(ctx, statement).ReadAll(); err != nil {
			ts.Fatalf("%s: %v", statement, err)
		}
	}
}

func eventually(ts *testscript.TestScript, _ bool, args []string) {
	want := regexp.MustCompile("(?m)" + args[0])
	deadline := time.After(patience)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ts.Exec(args[1], args[2:]...)
		out := ts.ReadFile("stdout")
		if err == nil && want.MatchString(out) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("%v: no %q after %s, last: %v\n%s%s", args[1:], args[0], patience, err, out, ts.ReadFile("stderr"))
		}
	}
}
