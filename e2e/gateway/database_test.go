package gateway

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/shapebus/shapebus/e2e/stack"
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

// A gateway that is given the URL of another database, with a table of the same name, serves no row of it as one of the shape.
// Clients are not told why, and whoever runs the gateway is.
func TestASubsetIsOfTheSourcesDatabase(t *testing.T) {
	t.Parallel()
	const table = "CREATE TABLE items (id int PRIMARY KEY, title text);"
	foreign := stack.New(t, table+"INSERT INTO items VALUES (1, 'foreign')")
	s := stack.Start(t, table+"INSERT INTO items VALUES (1, 'ours')")
	right, _ := s.StartGateway()
	var log logged
	s.Gateway.DatabaseURL, s.Gateway.Log = foreign.URL, slog.New(slog.NewTextHandler(&log, nil))
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
