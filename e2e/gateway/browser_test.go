package gateway

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
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
func browser(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		lack(t, "there is no chromium here; install Debian's package to run pages in it")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewContext(ctx)
	t.Cleanup(stop)
	return ctx
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
		var got []string
		s.Until(what, func() (bool, error) {
			var err error
			got, err = chromedp.Run(ctx, chromedp.Evaluate[[]string](`[...document.querySelectorAll('`+selector+`')].map((e) => e.textContent)`))
			return cmp.Equal(got, want), err
		}, func() string { return fmt.Sprint(got) })
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
