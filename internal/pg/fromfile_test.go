package pg_test

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/dbtest"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

// A configuration that was made when a file had other credentials connects with those that the file has now.
func TestCredentialsInAFileAreReadAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Postgres; not in -short")
	}
	u, err := url.Parse(pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	admin := dbtest.Dial(t, u.String())
	_, role := dbtest.As(t, admin, u.String(), "")
	file := filepath.Join(t.TempDir(), "url")
	write := func(user string) {
		t.Helper()
		u.User = url.UserPassword(user, "hush")
		if err := os.WriteFile(file, []byte(u.String()+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("nobody here")
	cfg, err := pg.ParseConfig(pg.FromFile(file), "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pg.Connect(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "nobody here") {
		t.Fatalf("a role that does not exist: %v", err)
	}
	write(role)
	conn, err := pg.Connect(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var now string
	if err := conn.QueryRow(t.Context(), "SELECT current_user").Scan(&now); err != nil || now != role {
		t.Errorf("the user is %q (%v), want %q", now, err, role)
	}
	if shown := pg.Redact(pg.FromFile(file)); strings.Contains(shown, "hush") || !strings.Contains(shown, role) {
		t.Errorf("it shows as %s", shown)
	}
	if _, err := pg.ParseConfig(pg.FromFile(file+".not"), "test"); err == nil || !strings.Contains(err.Error(), "give a file") {
		t.Errorf("a file that is not there: %v", err)
	}
}
