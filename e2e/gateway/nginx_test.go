package gateway

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/shapebus/shapebus/e2e/proc"
	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
)

// nginx runs the configuration of docs/GATEWAY.md before a gateway, without TLS, and returns its address.
func nginx(t *testing.T, gateway string) string {
	t.Helper()
	path, err := exec.LookPath("nginx")
	if err != nil {
		lack(t, "there is no nginx here; install Debian's package to run the documented configuration")
	}
	doc, err := os.ReadFile("../../docs/GATEWAY.md")
	if err != nil {
		t.Fatal(err)
	}
	_, config, ok := strings.Cut(string(doc), "```nginx\n")
	config, _, closed := strings.Cut(config, "```\n")
	if !ok || !closed {
		t.Fatal("docs/GATEWAY.md has no configuration of nginx")
	}
	port, err := natstest.FreePort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for old, now := range map[string]string{
		"listen 443 ssl http2;": "listen 127.0.0.1:" + strconv.Itoa(port) + ";", "http://gateway:3000": gateway, "/var/cache/nginx": filepath.Join(dir, "cache"),
	} {
		if !strings.Contains(config, old) {
			t.Fatalf("the configuration has no %s", old)
		}
		config = strings.ReplaceAll(config, old, now)
	}
	around := "daemon off; master_process off; pid " + dir + "/pid; events {}\nhttp {\naccess_log off;\n"
	for _, name := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		around += name + "_temp_path " + filepath.Join(dir, name) + ";\n"
	}
	if os.Getuid() == 0 {
		around = "user root;\n" + around
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(around+config+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	proc.Spawn(t, proc.Options{Name: "nginx", Path: path, Args: []string{"-c", file, "-p", dir, "-e", "stderr"}})
	return "http://127.0.0.1:" + strconv.Itoa(port)
}

// counted passes requests on to a gateway and counts those that are not live.
func counted(t *testing.T, gateway string) (base string, n *atomic.Int64) {
	t.Helper()
	to, err := url.Parse(gateway)
	if err != nil {
		t.Fatal(err)
	}
	n = &atomic.Int64{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !r.URL.Query().Has("live") {
			n.Add(1)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, n
}

// TestBehindNginx has readers follow a shape through nginx as docs/GATEWAY.md configures it.
func TestBehindNginx(t *testing.T) {
	s := stack.Start(t, teams)
	s.Gateway.ChunkBytes, s.Gateway.LongPoll, s.Gateway.Stream = 4_000, 2*time.Second, 3*time.Second
	gateway, _ := s.StartGateway()
	direct, asked := counted(t, gateway)
	base := nginx(t, direct)
	s.Until("nginx answers", func() (bool, error) {
		r, err := get(t.Context(), base, values("table", "members", "offset", "-1"))
		return err == nil && r.status == http.StatusOK, err
	}, func() string { return "it does not" })

	// The pieces of the snapshot are asked for once, whoever wants them, and not twice at once.
	q := values("table", "members", "offset", "-1")
	first := mustGet(t, base, q)
	q.Set("handle", first.header.Get("Electric-Handle"))
	q.Set("offset", first.header.Get("Electric-Offset"))
	before := asked.Load()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if r, err := get(t.Context(), base, q); err != nil || r.status != http.StatusOK {
				t.Errorf("%d %v", r.status, err)
			}
		})
	}
	all.Wait()
	if n := asked.Load() - before; n != 1 {
		t.Errorf("20 equal requests reach the gateway as %d", n)
	}
	plain, packed := mustGet(t, base, q, "Accept-Encoding", "identity"), mustGet(t, base, q, "Accept-Encoding", "gzip")
	if string(unpacked(t, "gzip", packed.body)) != string(plain.body) || packed.header.Get("Content-Encoding") != "gzip" {
		t.Errorf("clients that take gzip get %v, others %.100s", packed.header, plain.body)
	}

	readers := map[string]*running{}
	for _, sse := range []bool{false, true} {
		for i := range 3 {
			r := newReader(base, values("table", "members", "where", "team IN (SELECT id FROM teams WHERE open)"), sse)
			r.check = whole
			name := fmt.Sprintf("reader %d, SSE %v", i, sse)
			readers[name] = run(t, name, r)
		}
	}
	exact := func(step string) {
		t.Helper()
		want := selectIDs(t, s, "SELECT id || '=' || v FROM members WHERE team IN (SELECT id FROM teams WHERE open)")
		for name, r := range readers {
			s.Until(step+": "+name+" is exact", func() (bool, error) {
				r.mu.Lock()
				defer r.mu.Unlock()
				return cmp.Equal(texts(r.rows), want), r.err
			}, func() string { return fmt.Sprint(r.err) })
		}
	}
	exact("at first")
	for i := range 5 {
		s.Exec(fmt.Sprintf("UPDATE members SET v = 'v%d'; UPDATE teams SET open = NOT open WHERE id = %d", i, i+1))
		exact("changes")
	}
	s.Exec("TRUNCATE members; INSERT INTO members SELECT i, i % 6 + 1, 'again' FROM generate_series(1, 180) i")
	exact("the table was truncated")
}

// TestNginxKeepsNobodysRowsForOthers has two people ask for the same URL with tokens that let each see other rows, again and again.
func TestNginxKeepsNobodysRowsForOthers(t *testing.T) {
	s := stack.Start(t, items)
	secret := []byte(strings.Repeat("k", 32))
	s.Gateway.Access.TokenSecret = secret
	gateway, _ := s.StartGateway()
	base := nginx(t, gateway)
	token := func(owner string) string {
		grant := map[string]any{"table": "items", "where": "owner = $1", "params": []string{owner}}
		text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"exp": time.Now().Add(time.Hour).Unix(), "shapes": []any{grant}}).SignedString(secret)
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + text
	}
	s.Until("nginx answers", func() (bool, error) {
		r, err := get(t.Context(), base, values("table", "items", "offset", "-1"))
		return err == nil && r.status == http.StatusUnauthorized, err
	}, func() string { return "it does not" })
	for range 3 {
		for _, owner := range []string{"ann", "bob"} {
			r := await(t, base, values("table", "items", "offset", "-1"), "Authorization", token(owner))
			rows := 0
			for _, m := range r.messages(t) {
				if m.Key == "" {
					continue
				}
				if rows++; *m.Value["owner"] != owner {
					t.Fatalf("%s is shown a row of %s", owner, *m.Value["owner"])
				}
			}
			if rows != 20 {
				t.Errorf("%s sees %d rows", owner, rows)
			}
		}
		if r := mustGet(t, base, values("table", "items", "offset", "-1")); r.status != http.StatusUnauthorized {
			t.Errorf("nobody is shown %.200s", r.body)
		}
	}
}
