package gateway

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

// logged is what a service logs. Safe for concurrent use.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// execute runs statements over a connection of its own.
func execute(t *testing.T, url string, statements ...string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // also when the test has ended
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// copied is the URL of a copy of a database that nobody is connected to.
func copied(t *testing.T, original string) string {
	t.Helper()
	u, err := url.Parse(original)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	postgres := pgtest.Server(t).URL("postgres")
	execute(t, postgres, "CREATE DATABASE "+name+"_copy TEMPLATE "+name)
	t.Cleanup(func() { execute(t, postgres, "DROP DATABASE "+name+"_copy WITH (FORCE)") })
	u.Path += "_copy"
	return u.String()
}

// A gateway that is given the URL of another database, with a table of the same name, serves no row of it as one of the shape.
// Clients are not told why, and whoever runs the gateway is.
func TestASubsetIsOfTheSourcesDatabase(t *testing.T) {
	t.Parallel()
	ours := pgtest.Database(t)
	execute(t, ours, "CREATE TABLE items (id int PRIMARY KEY, title text)", "INSERT INTO items VALUES (1, 'foreign')")
	foreign := copied(t, ours) // the table has the same oid there, as in clusters that were set up alike
	s := stack.On(t, ours, "UPDATE items SET title = 'ours'")
	s.StartIngest()
	s.StartConsumer()
	right, _ := s.StartGateway()
	var log logged
	s.Gateway.DatabaseURL, s.Gateway.Log = foreign, slog.New(slog.NewTextHandler(&log, nil))
	wrong, _ := s.StartGateway()

	for name, base := range map[string]string{"the right one": right, "the wrong one": wrong} {
		if r := await(t, base, values("table", "items", "offset", "-1")); r.status != http.StatusOK || !strings.Contains(string(r.body), "ours") {
			t.Errorf("%s: the shape: %d %s", name, r.status, r.body)
		}
	}
	subset := values("table", "items", "offset", "-1", "subset__where", "id = 1")
	if r := await(t, right, subset); r.status != http.StatusOK || !strings.Contains(string(r.body), "ours") {
		t.Errorf("a subset: %d %s", r.status, r.body)
	}
	r := mustGet(t, wrong, subset)
	if r.status != http.StatusServiceUnavailable || strings.Contains(string(r.body), "foreign") || strings.Contains(string(r.body), "database") {
		t.Errorf("a subset of another database: %d %s", r.status, r.body)
	}
	if !strings.Contains(log.String(), "the source was fed by another database") {
		t.Errorf("nobody is told why: %s", log.String())
	}
}
