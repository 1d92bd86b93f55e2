package flow

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/pgtemp"
)

// postgres is a server on a directory and a port that stay.
type postgres struct {
	*pgtemp.Server

	t    *testing.T
	dir  string
	port int
}

func startPostgres(t *testing.T, dir string, port int) *postgres {
	t.Helper()
	if testing.Short() {
		t.Skip("needs Postgres; not in -short")
	}
	// restore_command has an archive without a file, for a start that ends a recovery.
	server, err := pgtemp.Start(t.Context(), pgtemp.Options{Dir: dir, Port: port, Settings: map[string]string{"restore_command": "false"}})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	p := &postgres{t: t, dir: dir, Server: server}
	if p.port, err = strconv.Atoi(u.Port()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	return p
}

// pgDir makes a directory for a server, which may run as another user, who must get there.
func pgDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "shapebus-postgres-") //nolint:usetesting // for that user
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (p *postgres) stop() {
	if p.Server == nil {
		return
	}
	if err := p.Stop(context.Background()); err != nil {
		p.t.Error(err)
	}
	p.Server = nil
}

func (p *postgres) run(name string, args ...string) {
	p.t.Helper()
	if out, err := exec.CommandContext(p.t.Context(), name, args...).CombinedOutput(); err != nil {
		p.t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}

// TestTheDatabaseGoesBackInItsHistory restores the database from a cold copy,
// and lets a standby take over that has not received the last transactions: both lack what
// was published. The shapes end with that reason, and others can be created.
func TestTheDatabaseGoesBackInItsHistory(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		takesOver bool // on a timeline of its own, without the slot
	}{{"by a restore", false}, {"by a failover", true}} {
		t.Run(tt.name, func(t *testing.T) {
			dir := pgDir(t)
			server := startPostgres(t, dir, 0)
			s := stack.On(t, server.URL("postgres"), projectSchema)
			s.StartIngest()
			s.StartConsumer()
			s.StartMaterializer()
			definitions := []client.Definition{
				{Table: "tasks"},
				{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active)"},
			}
			var shapes []*client.Shape
			for _, d := range definitions {
				shapes = append(shapes, s.Create(d))
			}
			s.Verify(shapes...)

			data, backup := filepath.Join(dir, "data"), filepath.Join(dir, "backup")
			server.stop()
			server.run("cp", "-a", data, backup)
			server = startPostgres(t, dir, server.port)
			s.DB = s.Connect()
			s.Exec("UPDATE tasks SET title = 'lost'; INSERT INTO tasks SELECT i, 1, false, 'lost' FROM generate_series(1000, 1999) i; UPDATE projects SET active = NOT active")
			s.Verify(shapes...)

			server.stop()
			server.run("rm", "-r", data)
			server.run("mv", backup, data)
			if tt.takesOver {
				slots, err := filepath.Glob(filepath.Join(data, "pg_replslot", "*"))
				if err != nil || len(slots) == 0 {
					t.Fatalf("no slots: %v", err)
				}
				server.run("rm", append([]string{"-r"}, slots...)...)
				server.run("cp", "-a", filepath.Join(data, "PG_VERSION"), filepath.Join(data, "recovery.signal")) // any file of the right owner
			}
			startPostgres(t, dir, server.port)
			s.DB = s.Connect()
			s.Until("the server has taken over", func() (ok bool, err error) {
				err = s.DB.QueryRow(t.Context(), "SELECT NOT pg_is_in_recovery()").Scan(&ok)
				return ok, err
			}, func() string { return "it has not" })
			var file string // its name begins with the timeline
			if err := s.DB.QueryRow(t.Context(), "SELECT pg_walfile_name(pg_current_wal_lsn())").Scan(&file); err != nil || strings.HasPrefix(file, "00000001") == tt.takesOver {
				t.Fatalf("WAL file %s, %v", file, err)
			}
			s.Exec("UPDATE tasks SET title = 'kept' WHERE id < 50")
			for _, sh := range shapes {
				info := s.Await(sh, "ended", func(i control.Shape) bool { return i.State == control.StateEnded })
				if !strings.Contains(info.Reason, "earlier point of its history") {
					t.Errorf("reason %q", info.Reason)
				}
			}
			shapes = nil
			for _, d := range definitions {
				shapes = append(shapes, s.Create(d))
			}
			s.Exec("INSERT INTO tasks VALUES (5000, 1, false, 'new'); UPDATE projects SET active = NOT active WHERE id < 4")
			s.Verify(shapes...)
			var slots, active int
			if err := s.DB.QueryRow(t.Context(), "SELECT count(*), count(*) FILTER (WHERE active) FROM pg_replication_slots").Scan(&slots, &active); err != nil {
				t.Fatal(err)
			}
			if slots != 1 || active != 1 {
				t.Errorf("%d slots, of which %d are in use", slots, active)
			}
		})
	}
}
