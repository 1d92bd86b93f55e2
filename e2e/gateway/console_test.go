package gateway

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/e2e/proc"
	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
)

const (
	consoleSecret = "what-opens-the-console"
	viewerSecret  = "what-shows-no-rows-of-it"
)

// visitor asks the console as a browser does.
type visitor struct {
	t      *testing.T
	base   string
	cookie *http.Cookie
}

// ask returns the status, the headers and the body of an answer.
func (v *visitor) ask(method, path, body string, header ...string) (int, http.Header, string) {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), method, v.base+path, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	if v.cookie != nil {
		req.AddCookie(v.cookie)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	for _, c := range resp.Cookies() {
		v.cookie = c
	}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		return resp.StatusCode, resp.Header, ""
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

func (v *visitor) signIn(secret string) int {
	v.t.Helper()
	status, _, _ := v.ask(http.MethodPost, "/console/api/session", `{"secret": "`+secret+`"}`)
	return status
}

// consoleAsks are requests of every kind, and whether they show rows or change something.
var consoleAsks = []struct {
	method, path, body string
	rows               bool
}{
	{method: "GET", path: "pulse"},
	{method: "GET", path: "shapes?q=x"},
	{method: "GET", path: "shapes/0123456789abcdef"},
	{method: "GET", path: "events"},
	{method: "GET", path: "shapes/0123456789abcdef/live", rows: true},
	{method: "POST", path: "check", body: `{"table": "items"}`, rows: true},
	{method: "POST", path: "shapes", body: `{"table": "items"}`, rows: true},
	{method: "POST", path: "explain", body: `{"table": "items", "key": {"id": "1"}}`, rows: true},
	{method: "POST", path: "shapes/0123456789abcdef/fold", body: `{}`, rows: true},
	{method: "POST", path: "shapes/0123456789abcdef/delete", body: `{}`, rows: true},
}

// TestTheConsoleIsOffUnlessItHasASecret pins that nothing of it is there without one.
func TestTheConsoleIsOffUnlessItHasASecret(t *testing.T) {
	s := stack.Start(t, items)
	base, _ := s.StartGateway()
	v := &visitor{t: t, base: base}
	for _, path := range []string{"/console", "/console/", "/console/js/main.js", "/console/api/session", "/CONSOLE/", "/x/../console/"} {
		if status, _, _ := v.ask(http.MethodGet, path, ""); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
}

// TestWhoMaySeeTheConsole asks for everything without a session, with one of each level, and from
// elsewhere.
func TestWhoMaySeeTheConsole(t *testing.T) {
	s := stack.Start(t, items)
	var log proc.Log
	s.Gateway.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.Gateway.ConsoleSecret, s.Gateway.ConsoleViewerSecret = consoleSecret, viewerSecret
	base, _ := s.StartGateway()

	nobody := &visitor{t: t, base: base}
	for _, a := range consoleAsks {
		if status, _, body := nobody.ask(a.method, "/console/api/"+a.path, a.body); status != http.StatusUnauthorized || strings.Contains(body, "items") {
			t.Errorf("without a session, %s %s: %d %s", a.method, a.path, status, body)
		}
	}
	if _, _, body := nobody.ask(http.MethodGet, "/console/api/session", ""); strings.Contains(body, string(s.Source)) {
		t.Errorf("who has no session is told %s", body)
	}
	for _, wrong := range []string{"", "what-opens-the-consol", consoleSecret + "x", strings.ToUpper(consoleSecret)} {
		if status := nobody.signIn(wrong); status != http.StatusUnauthorized || nobody.cookie != nil {
			t.Errorf("with %q: %d, cookie %v", wrong, status, nobody.cookie)
		}
	}
	for _, forged := range []string{"full", "full.99999999999.x.y", "full.99999999999.x."} {
		v := &visitor{t: t, base: base, cookie: &http.Cookie{Name: "shapebus_console", Value: forged}}
		if status, _, _ := v.ask(http.MethodGet, "/console/api/events", ""); status != http.StatusUnauthorized {
			t.Errorf("with the cookie %q: %d", forged, status)
		}
	}

	viewer, owner := &visitor{t: t, base: base}, &visitor{t: t, base: base}
	if status := viewer.signIn(viewerSecret); status != http.StatusOK {
		t.Fatalf("a viewer: %d", status)
	}
	if status := owner.signIn(consoleSecret); status != http.StatusOK {
		t.Fatalf("who may do everything: %d", status)
	}
	for _, a := range consoleAsks {
		status, header, _ := viewer.ask(a.method, "/console/api/"+a.path, a.body)
		if (status == http.StatusForbidden) != a.rows || status == http.StatusUnauthorized {
			t.Errorf("a viewer, %s %s: %d", a.method, a.path, status)
		}
		if header.Get("Access-Control-Allow-Origin") != "" || header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s has headers %v", a.path, header)
		}
		if status, _, body := owner.ask(a.method, "/console/api/"+a.path, a.body); status == http.StatusForbidden || status == http.StatusUnauthorized {
			t.Errorf("who may do everything, %s %s: %d %s", a.method, a.path, status, body)
		}
		// A page of another site has the browser ask, perhaps with the cookie.
		for _, from := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}} {
			if status, _, _ := owner.ask(a.method, "/console/api/"+a.path, a.body, from...); status != http.StatusForbidden {
				t.Errorf("%s %s from %v: %d", a.method, a.path, from, status)
			}
		}
		if a.method == http.MethodPost {
			if status, _, _ := owner.ask(a.method, "/console/api/"+a.path, a.body, "Origin", "https://example.com"); status != http.StatusForbidden {
				t.Errorf("%s from another origin: %d", a.path, status)
			}
		}
	}
	if c := owner.cookie; !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/console" || strings.Contains(c.Value, consoleSecret) {
		t.Errorf("the cookie is %v", c)
	}

	// What is not known, and what is too much, is refused before it is asked for.
	for name, c := range map[string]struct {
		path, body, kind string
		want             int
	}{
		"another form":      {"check", `{"table": "items"}`, "text/plain", http.StatusUnsupportedMediaType},
		"a form":            {"shapes", `table=items`, "application/x-www-form-urlencoded", http.StatusUnsupportedMediaType},
		"unknown fields":    {"check", `{"table": "items", "drop": true}`, "application/json", http.StatusBadRequest},
		"what is no JSON":   {"check", `{`, "application/json", http.StatusBadRequest},
		"a large body":      {"check", `{"table": "` + strings.Repeat("x", 300<<10) + `"}`, "application/json", http.StatusRequestEntityTooLarge},
		"no shape's handle": {"shapes/..%2f..%2fx/fold", `{}`, "application/json", http.StatusNotFound},
		"a subject":         {"shapes/%3E/delete", `{}`, "application/json", http.StatusNotFound},
		"what is not there": {"nothing", `{}`, "application/json", http.StatusNotFound},
	} {
		if status, _, body := owner.ask(http.MethodPost, "/console/api/"+c.path, c.body, "Content-Type", c.kind); status != c.want {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	for _, path := range []string{"", "/", "/js/main.js", "/style/base.css", "/api/session"} {
		_, header, _ := nobody.ask(http.MethodGet, "/console"+path, "")
		policy := header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy %q lacks %q", path, policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") || header.Get("X-Content-Type-Options") != "nosniff" || header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s has headers %v", path, header)
		}
	}

	owner.ask(http.MethodDelete, "/console/api/session", "")
	if owner.cookie.MaxAge >= 0 || owner.cookie.Value != "" {
		t.Errorf("after signing out the cookie is %v", owner.cookie)
	}
	slowed := false // guesses come at a pace that gets nobody in
	for range 500 {
		if slowed = nobody.signIn("a-guess-that-is-wrong") == http.StatusTooManyRequests; slowed {
			break
		}
	}
	if !slowed {
		t.Error("five hundred guesses in a row are all looked at")
	}
	for _, hidden := range []string{consoleSecret, viewerSecret, "a-guess-that-is-wrong", "what-opens-the-consol"} {
		if strings.Contains(log.String(), hidden) {
			t.Errorf("%q stands in the log", hidden)
		}
	}
}

// feedOf is what the page of a shape is told.
type feedOf struct {
	Phase *struct {
		Is   string `json:"is"`
		Text string `json:"text"`
	} `json:"phase"`
	Rows *struct {
		All   bool             `json:"all"`
		Set   map[string][]any `json:"set"`
		Gone  []string         `json:"gone"`
		Total int              `json:"total"`
	} `json:"rows"`
	News []newsOf `json:"news"`
}

// newsOf is a transaction in it.
type newsOf struct {
	Count int            `json:"count"`
	Kinds map[string]int `json:"kinds"`
}

// follows reads the stream of a shape until done says so.
func (v *visitor) follows(handle string, done func(feedOf) bool) {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, v.base+"/console/api/shapes/"+handle+"/live", http.NoBody)
	if err != nil {
		v.t.Fatal(err)
	}
	req.AddCookie(v.cookie)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	event := ""
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			v.t.Fatalf("the stream of shape %s ends: %v", handle, err)
		}
		if name, ok := bytes.CutPrefix(line, []byte("event: ")); ok {
			event = string(bytes.TrimSpace(name))
		}
		data, ok := bytes.CutPrefix(line, []byte("data: "))
		if !ok || event != "feed" {
			continue
		}
		var f feedOf
		if err := json.Unmarshal(data, &f); err != nil {
			v.t.Fatalf("%s: %v", data, err)
		}
		if done(f) {
			return
		}
	}
}

// TestTheConsoleFollowsAShape reads what the page of a shape reads: all rows of a small one,
// changes of a large one, and why it ended.
func TestTheConsoleFollowsAShape(t *testing.T) {
	s := stack.Start(t, `CREATE TABLE notes (id int PRIMARY KEY, body text); CREATE TABLE many (id int PRIMARY KEY, body text);
INSERT INTO notes VALUES (1, 'one'), (2, '<script>alert(1)</script>'); INSERT INTO many SELECT i, 'x' FROM generate_series(1, 3000) i`)
	s.Gateway.ConsoleSecret = consoleSecret
	base, _ := s.StartGateway()
	v := &visitor{t: t, base: base}
	v.signIn(consoleSecret)
	small, large := s.Create(client.Definition{Table: "notes"}), s.Create(client.Definition{Table: "many"})

	rows := map[string][]any{}
	step := 0
	v.follows(small.Handle(), func(f feedOf) bool {
		if f.Rows != nil {
			if f.Rows.All {
				clear(rows)
			}
			maps.Copy(rows, f.Rows.Set)
			for _, k := range f.Rows.Gone {
				delete(rows, k)
			}
			if f.Rows.Total != len(rows) {
				t.Errorf("%d rows are told of and %d said to be there", len(rows), f.Rows.Total)
			}
		}
		switch {
		case step == 0 && len(rows) == 2 && rows[`["2"]`][1] == "<script>alert(1)</script>":
			s.Exec(`BEGIN; UPDATE notes SET body = NULL WHERE id = 1; DELETE FROM notes WHERE id = 2; INSERT INTO notes VALUES (3, repeat('y', 1000)); COMMIT`)
			step++
		case step == 1 && len(rows) == 2 && rows[`["3"]`] != nil:
			if long, ok := rows[`["3"]`][1].(map[string]any); !ok || long["bytes"] != 1000.0 || rows[`["1"]`][1] != nil {
				t.Errorf("the rows are %v", rows)
			}
			s.Exec(`TRUNCATE notes`)
			step++
		case step == 2 && len(rows) == 0:
			s.Exec(`ALTER TABLE notes DROP COLUMN body`)
			step++
		case step == 3 && f.Phase != nil && f.Phase.Is == "ended":
			return strings.Contains(f.Phase.Text, "body")
		}
		return false
	})
	v.follows(large.Handle(), func(f feedOf) bool {
		if f.Rows != nil {
			t.Errorf("%d rows of a large shape are sent", f.Rows.Total)
		}
		if f.Phase != nil && f.Phase.Is == "changes" {
			s.Exec(`UPDATE many SET body = 'z' WHERE id <= 500`)
		}
		return slices.ContainsFunc(f.News, func(n newsOf) bool { return n.Count == 500 && n.Kinds["update"] == 500 })
	})
}
