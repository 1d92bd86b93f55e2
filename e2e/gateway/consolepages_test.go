package gateway

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
)

// studio is what the pages show: projects and their tasks.
const studio = `
CREATE TABLE projects (id int PRIMARY KEY, name text NOT NULL, active boolean NOT NULL);
CREATE TABLE tasks (id int PRIMARY KEY, project_id int, title text NOT NULL, assignee text, priority int NOT NULL, done boolean NOT NULL DEFAULT false);
CREATE TABLE drafts (id int PRIMARY KEY, body text);
INSERT INTO projects SELECT i, (ARRAY['Harbour lights', 'Northern line', 'Paper trail', 'Second kitchen', 'Blue hour', 'Field notes'])[i], i <> 5 FROM generate_series(1, 6) i;
INSERT INTO tasks SELECT i, 1 + i % 6, (ARRAY['Draft the brief', 'Order the timber', 'Call the surveyor', 'Check the invoices', 'Paint the railings', 'Review the map', 'Book the crane'])[1 + i % 7],
	CASE WHEN i % 9 = 0 THEN NULL ELSE (ARRAY['ann', 'ben', 'cleo', 'dev'])[1 + i % 4] END, 1 + i % 5, i % 3 = 0 FROM generate_series(1, 60) i;`

// hostile is a text that would do harm as markup.
const hostile = `<script>window.harmed=1</script><img src=x onerror="window.harmed=2">`

// pages drive the console in a browser.
type pages struct {
	s   *stack.Stack
	ctx context.Context //nolint:containedctx // that of the browser
	dir string
}

func evaluate[T any](p *pages, js string) (T, error) {
	return chromedp.Run(p.ctx, chromedp.Evaluate[T](js))
}

func (p *pages) run(js string) {
	p.s.TB.Helper()
	if _, err := evaluate[any](p, "(() => {"+js+"})()"); err != nil {
		p.s.TB.Fatalf("%s: %v", js, err)
	}
}

// shows waits until the page has these words in what a selector finds.
func (p *pages) shows(selector string, words ...string) {
	p.s.TB.Helper()
	var text string
	p.s.Until(fmt.Sprintf("%s shows %q", selector, words), func() (bool, error) {
		var err error
		text, err = evaluate[string](p, `[...document.querySelectorAll(`+quoted(selector)+`)].map((e) => e.innerText).join('\n')`)
		for _, w := range words {
			if !strings.Contains(text, w) {
				return false, err
			}
		}
		return err == nil, err
	}, func() string { return text })
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }

func (p *pages) types(selector, text string) {
	p.s.TB.Helper()
	p.run(fmt.Sprintf(`const e = document.querySelector(%q); e.value = %q; e.dispatchEvent(new Event('input', { bubbles: true }))`, selector, text))
}

func (p *pages) goTo(hash string) {
	p.s.TB.Helper()
	p.run(fmt.Sprintf(`location.hash = %q`, hash))
}

func (p *pages) press(keys string) {
	p.s.TB.Helper()
	if _, err := chromedp.Run(p.ctx, chromedp.KeyEvent(keys)); err != nil {
		p.s.TB.Fatal(err)
	}
}

// keep takes a picture, and sees that nothing is wider than the page.
func (p *pages) keep(name string) {
	p.s.TB.Helper()
	if wide, err := evaluate[int](p, `document.documentElement.scrollWidth - innerWidth`); err != nil || wide > 0 {
		p.s.TB.Errorf("%s is %d px wider than the window, %v", name, wide, err)
	}
	p.s.Until("the fonts are there", func() (bool, error) { return evaluate[bool](p, `document.fonts.status === 'loaded'`) }, func() string { return name })
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(p.dir, name+".png"), png, 0o600)
	}
	if err != nil {
		p.s.TB.Fatal(err)
	}
}

// grounds are what themes have behind everything.
var grounds = map[string]string{"light": "rgb(246, 246, 248)", "dark": "rgb(15, 15, 20)"}

// isOn sees which ground the page is on.
func (p *pages) isOn(ground string) {
	p.s.TB.Helper()
	if is, err := evaluate[string](p, `getComputedStyle(document.documentElement).backgroundColor`); err != nil || is != ground {
		p.s.TB.Errorf("the page is on %s, want %s, %v", is, ground, err)
	}
}

// shots is where pictures go: CONSOLE_SHOTS, or a directory that goes with the test.
func shots(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("CONSOLE_SHOTS")
	if dir == "" {
		return t.TempDir()
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestTheConsoleInABrowser opens each view, wide and narrow, light and dark, looks for what it must
// say, and takes pictures. A row holds what would do harm if it were more than text.
func TestTheConsoleInABrowser(t *testing.T) {
	ctx := browser(t)
	s := stack.New(t, studio)
	s.StartIngest()
	stopConsumer := s.StartConsumer()
	s.StartMaterializer()
	s.Gateway.ConsoleSecret = consoleSecret
	base, _ := s.StartGateway()
	p := &pages{s: s, ctx: ctx, dir: shots(t)}
	s.Exec(`INSERT INTO tasks VALUES (61, 1, $1, 'ann', 1)`, hostile)
	s.Create(client.Definition{Table: "tasks", Where: "assignee = 'ann' AND priority > 3"})
	outer := s.Create(client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active)"})
	s.Create(client.Definition{Table: "projects"})
	over := s.Create(client.Definition{Table: "drafts", Where: "body LIKE 'a%'"})
	s.Exec(`ALTER TABLE drafts DROP COLUMN body`)
	s.Until("the shape of drafts has ended", func() (bool, error) {
		info, err := over.Refresh(t.Context())
		return err == nil && info.Reason != "", err
	}, func() string { return "" })

	first := true
	for _, width := range []int64{1280, 400} {
		for _, theme := range []string{"light", "dark"} {
			named := func(view string) string { return fmt.Sprintf("%s-%d-%s", view, width, theme) }
			if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, 860), chromedp.Navigate(base+"/console")); err != nil {
				t.Fatal(err)
			}
			p.run(fmt.Sprintf(`localStorage.setItem('shapebus.theme', %q)`, theme))
			if err := chromedp.Do(ctx, chromedp.Navigate(base+"/console/")); err != nil {
				t.Fatal(err)
			}
			if first {
				p.shows("main, .door", "The console")
				p.keep(named("door"))
				p.types("#secret", "not the secret")
				p.press("\r")
				p.shows(".wrong", "That is not the console’s secret.")
				p.types("#secret", consoleSecret)
				p.press("\r")
			}
			p.shows(".health", "All is well")
			p.isOn(grounds[theme])
			p.shows(".pipeline", "Postgres", "is read", "Change log", "Partitions", "Shapes")
			p.shows(".partitions", "0 B")
			s.Exec(`UPDATE tasks SET priority = 1 + priority % 5; UPDATE projects SET name = name`)
			p.shows(".lines", "tasks")
			p.keep(named("flow"))

			p.press("2")
			p.shows(".shapes", "assignee = 'ann'", "ended", "column body of public.drafts was dropped or renamed")
			p.types("[data-search]", "active")
			p.shows(".head", "1 shape found")
			p.types("[data-search]", "zebra")
			p.shows(".empty", "No shape is like that")
			p.types("[data-search]", "")
			p.shows(".head", "4 shapes")
			p.shows(".shapes", "%") // of a core
			p.keep(named("shapes"))

			p.run(`document.querySelector('[data-new]').click()`)
			p.types("#new-table", "tasks")
			p.types("#new-where", "priority > 3 AND asignee = 'ann'")
			p.shows(".verdict", "Character 18", "asignee")
			p.shows(".clause-under mark", "asignee")
			p.keep(named("new"))
			p.types("#new-where", "priority > 3 AND project_id IN (SELECT id FROM projects)")
			p.shows(".verdict", "This can be made", "projects")
			p.run(`document.querySelector('dialog').close()`)

			p.goTo("#/shapes/" + outer.Handle())
			p.shows(".rows", "61", hostile)
			p.shows(".news-panel header", "live")
			s.Exec(`UPDATE tasks SET title = 'Walk the site', assignee = 'ben' WHERE id IN (2, 7); DELETE FROM tasks WHERE id = 60; INSERT INTO tasks VALUES (60, 1, 'Begin again', 'dev', 2)`)
			p.shows(".news", "Walk the site", "ben")
			s.Exec(`UPDATE projects SET active = NOT active WHERE id = 5`)
			p.shows(".news", "unit")
			p.shows(".figures", "CPU", "%")
			p.keep(named("shape"))

			p.goTo("#/row?table=tasks&id=61")
			p.shows(".row-cells", hostile)
			p.shows(".answer", "has it", "The value is among those selected", "assignee is")
			s.Exec(`UPDATE projects SET active = false WHERE id = 5`)
			p.goTo("#/row?table=tasks&id=4") // of project 5
			p.shows(".row-cells", "id", "4")
			p.shows(".answer", "does not have it", "The value is not in the set: the row that has it is not selected.")
			p.keep(named("row"))
			p.goTo("#/row?table=tasks&id=999")
			p.shows(".answer", "tasks has no such row.")
			p.goTo("#/row?table=nothing")
			p.shows(".wrong", "nothing")

			p.press("\x1b")
			p.goTo("#/events")
			p.shows(".happened", "Shape of drafts ended", "column body of public.drafts")
			p.keep(named("events"))
			if harmed, err := evaluate[bool](p, `window.harmed !== undefined || document.querySelector('#app img[src=x], #app script') !== null`); err != nil || harmed {
				t.Fatalf("a row's text became more than text, %v", err)
			}
			first = false
		}
	}
	// Who has chosen no theme has that of the system.
	p.run(`localStorage.removeItem('shapebus.theme'); delete document.documentElement.dataset.theme`)
	for theme, ground := range grounds {
		prefers := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}}
		if err := chromedp.Do(ctx, func(ctx context.Context, page *chromedp.Target) (void chromedp.Void, err error) {
			_, err = cdp.Call(ctx, page, emulation.SetEmulatedMedia, prefers)
			return void, err
		}); err != nil {
			t.Fatal(err)
		}
		p.isOn(ground)
	}
	// With nobody to answer, the pages say so and keep what they have.
	p.goTo("#/flow")
	p.shows(".pipeline", "Postgres")
	stopConsumer()
	p.shows(".health", "No answer")
	p.shows(".notes", "The control plane does not answer.", "no consumer of source")
	p.shows(".pipeline", "is read")
	p.keep("flow-without-answer")
	p.run(`document.querySelector('[aria-label="Sign out"]').click()`)
	p.shows(".door", "The console")
}
