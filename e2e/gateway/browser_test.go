package gateway

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"github.com/shapebus/shapebus/e2e/stack"
)

// page follows a shape with the unmodified client, in the build for browsers.
const page = `<!doctype html><meta charset="utf-8"><ul id="rows"></ul>
<script type="module">
import { Shape, ShapeStream } from '/client.mjs'
const q = new URLSearchParams(location.search)
const stream = new ShapeStream({ url: q.get('gateway') + '/v1/shape', params: { table: 'tasks', where: 'NOT done' }, liveSse: q.get('sse') === 'true', headers: { 'x-app': 'cors' } })
new Shape(stream).subscribe(({ rows }) => {
  const items = rows.map((r) => r.id + '=' + r.title).sort()
  document.getElementById('rows').replaceChildren(...items.map((t) => Object.assign(document.createElement('li'), { textContent: t })))
})
</script>`

// browser starts Chromium.
func browser(t *testing.T, more ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		lack(t, "there is no chromium here; install Debian's package to run pages in it")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()))
	opts = append(opts, more...)
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewContext(ctx)
	t.Cleanup(stop)
	return ctx
}

// showsTexts waits until what a selector finds has these texts.
func showsTexts(ctx context.Context, s *stack.Stack, what, selector string, want ...string) {
	s.TB.Helper()
	var got []string
	s.Until(what, func() (bool, error) {
		var err error
		got, err = chromedp.Run(ctx, chromedp.Evaluate[[]string](`[...document.querySelectorAll('`+selector+`')].map((e) => e.textContent)`))
		return cmp.Equal(got, want), err
	}, func() string { return fmt.Sprint(got) })
}

// TestPagesInABrowser has Chromium show a table live, with the client from npm by long polls and by server-sent events, and with the page
// of the examples. The pages are of another origin than the gateway.
func TestPagesInABrowser(t *testing.T) {
	dir := node(t)
	ctx := browser(t)
	s := stack.Start(t, `
CREATE TABLE tasks (id int PRIMARY KEY, title text NOT NULL, done boolean NOT NULL DEFAULT false);
INSERT INTO tasks VALUES (1, 'first', false), (2, '<b>"second"</b> é', false), (3, 'over', true);`)
	s.Gateway.LongPoll = 5 * time.Second
	base, _ := s.StartGateway()
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/client.mjs":
			w.Header().Set("Content-Type", "text/javascript")
			http.ServeFile(w, r, filepath.Join(dir, "node_modules/@electric-sql/client/dist/index.browser.mjs"))
		case "/example":
			text, err := os.ReadFile("../../examples/web/index.html")
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write(text) // the page notices
		default:
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = fmt.Fprint(w, page) // the page notices
		}
	}))
	defer files.Close()
	shows := func(what, selector string, want ...string) {
		t.Helper()
		showsTexts(ctx, s, what, selector, want...)
	}
	second := `<b>"second"</b> é`
	for _, sse := range []bool{false, true} {
		s.Exec(`TRUNCATE tasks; INSERT INTO tasks VALUES (1, 'first', false), (2, '<b>"second"</b> é', false), (3, 'over', true)`)
		if _, err := chromedp.Run(ctx, chromedp.Navigate(fmt.Sprintf("%s/?gateway=%s&sse=%v", files.URL, base, sse))); err != nil {
			t.Fatal(err)
		}
		shows(fmt.Sprintf("the rows are there, SSE %v", sse), "li", "1=first", "2="+second)
		s.Exec(`BEGIN; UPDATE tasks SET done = NOT done WHERE id IN (1, 3); INSERT INTO tasks VALUES (4, 'new'); COMMIT`)
		shows("a transaction came", "li", "2="+second, "3=over", "4=new")
		s.Exec(`TRUNCATE tasks; INSERT INTO tasks VALUES (5, 'again')`)
		shows("the table was truncated", "li", "5=again")
	}
	if _, err := chromedp.Run(ctx, chromedp.Navigate(files.URL+"/example?gateway="+base)); err != nil {
		t.Fatal(err)
	}
	shows("the example shows the table", "td", "5", "again", "f")
	s.Exec(`UPDATE tasks SET title = 'changed'`)
	shows("the example follows it", "td", "5", "changed", "f")
	s.Exec(`TRUNCATE tasks; INSERT INTO tasks VALUES (6, 'begun again')`) // the browser has the rows from before in its cache
	shows("the example begins again", "td", "6", "begun again", "f")
}

// bundle makes one file of a script and what it imports, as apps do.
func bundle(t *testing.T, dir, script string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "bundle.js")
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "node_modules/.bin/esbuild"), script, "--bundle", "--define:process.env.NODE_ENV=\"development\"", "--outfile="+out, "--log-level=warning")
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("esbuild: %v\n%s", err, text)
	}
	return out
}

// TestReactInABrowser has Chromium show shapes with the hook for React, in its strict mode, which does all effects twice, and two shapes in one
// stream, with and without regard to transactions. It speaks HTTP/2, as the page waits for more answers at once than a browser has connections.
func TestReactInABrowser(t *testing.T) {
	dir := node(t)
	ctx := browser(t, chromedp.IgnoreCertErrors)
	script := bundle(t, dir, "react.mjs")
	s := stack.Start(t, `
CREATE TABLE tasks (id int PRIMARY KEY, title text NOT NULL, done boolean NOT NULL DEFAULT false);
CREATE TABLE people (id int PRIMARY KEY, name text);
INSERT INTO tasks VALUES (1, 'first', false), (2, 'second', false), (3, 'over', true);
INSERT INTO people VALUES (7, 'ann');`)
	files := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bundle.js" {
			http.ServeFile(w, r, script)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprint(w, `<!doctype html><meta charset="utf-8"><div id="app"></div><script src="/bundle.js"></script>`) // the page notices
	}))
	defer files.Close()
	s.Gateway.LongPoll, s.Gateway.TLS = 5*time.Second, &tls.Config{Certificates: files.TLS.Certificates, MinVersion: tls.VersionTLS12}
	base, stop := s.StartGateway()
	base = strings.Replace(base, "http:", "https:", 1)
	shows := func(what, selector string, want ...string) {
		t.Helper()
		showsTexts(ctx, s, what, selector, want...)
	}
	if _, err := chromedp.Run(ctx, chromedp.Navigate(files.URL+"/?gateway="+base)); err != nil {
		t.Fatal(err)
	}
	shows("the rows are there", "#tasks li", "1=first", "2=second")
	shows("it is not loading any more", "#state", "there")
	shows("they are counted", "#count", "2")
	for _, id := range []string{"both", "whole"} {
		shows("two shapes in one stream: "+id, "#"+id+" li", "people 7", "tasks 1", "tasks 2", "tasks 3")
	}
	s.Exec(`BEGIN; UPDATE tasks SET done = NOT done WHERE id IN (1, 3); INSERT INTO tasks VALUES (4, 'new'); INSERT INTO people VALUES (8, 'ben'); COMMIT`)
	shows("a transaction came", "#tasks li", "2=second", "3=over", "4=new")
	shows("it is counted", "#count", "3")
	for _, id := range []string{"both", "whole"} {
		shows("a transaction on both tables: "+id, "#"+id+" li", "people 7", "people 8", "tasks 1", "tasks 2", "tasks 3", "tasks 4")
	}
	shows("and that came as a whole", "#whole-batches li:last-child", "people 1, tasks 3")
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[any](`document.querySelector('button').click()`)); err != nil {
		t.Fatal(err)
	}
	shows("another shape took its place", "#tasks li", "1=first")
	shows("and not that of others", "#count", "3")
	stop()
	s.Exec(`UPDATE tasks SET title = 'changed' WHERE id = 1; DELETE FROM people WHERE id = 7`)
	s.Gateway.Listener = listenAgain(t, strings.TrimPrefix(base, "https://"))
	s.StartGateway()
	shows("another gateway", "#tasks li", "1=changed")
	for _, id := range []string{"both", "whole"} {
		shows("both, of another gateway: "+id, "#"+id+" li", "people 8", "tasks 1", "tasks 2", "tasks 3", "tasks 4")
	}
	s.Exec(`TRUNCATE tasks; INSERT INTO tasks VALUES (5, 'again', true), (6, 'open', false)`)
	shows("the table was truncated", "#tasks li", "5=again")
	shows("and the other shape of it", "#count", "1")
}
