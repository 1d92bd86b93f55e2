package flow

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

const explained = `
CREATE TABLE projects (id int PRIMARY KEY, name text, active boolean NOT NULL);
CREATE TABLE tasks (id int, part text, project_id int, title text, PRIMARY KEY (id, part));
CREATE TABLE keyless (id int);
INSERT INTO projects VALUES (1, 'on', true), (2, 'off', false);
INSERT INTO tasks VALUES (1, 'a', 1, 'first'), (2, 'a', 2, 'second'), (3, 'a', 9, 'third'), (4, 'a', NULL, 'fourth'), (5, 'a', 1, repeat('x', 5000));`

// TestAChecksAnswer pins that where.check says what shape.create would, and where a clause is wrong.
func TestAChecksAnswer(t *testing.T) {
	s := stack.Start(t, explained)
	for name, c := range map[string]struct {
		def  client.Definition
		want control.Check
	}{
		"a clause that is right": {
			client.Definition{Table: "tasks", Where: "title = $1 AND project_id IN (SELECT id FROM projects WHERE active)", Params: []any{"x"}},
			control.Check{Schema: "public", Table: "tasks", HasKey: true, Reads: []string{"public.projects"}},
		},
		"a column that is not":    {client.Definition{Table: "tasks", Where: "é = 'é' AND titel = 'x'"}, control.Check{Problem: &control.Problem{Field: "where", Position: 1, Code: "400"}}},
		"a place behind letters":  {client.Definition{Table: "tasks", Where: "title = 'é' AND titel = 'x'"}, control.Check{Problem: &control.Problem{Field: "where", Position: 17, Code: "400"}}},
		"what does not parse":     {client.Definition{Table: "tasks", Where: "title = = 'x'"}, control.Check{Problem: &control.Problem{Field: "where", Position: 9, Code: "400"}}},
		"a table that is not":     {client.Definition{Table: "task"}, control.Check{Problem: &control.Problem{Field: "table", Code: "400"}}},
		"columns without the key": {client.Definition{Table: "tasks", Columns: []string{"id"}}, control.Check{Problem: &control.Problem{Field: "columns", Code: "400"}}},
		"a subquery without a key": {
			client.Definition{Table: "keyless", Where: "id IN (SELECT id FROM projects)"}, control.Check{Problem: &control.Problem{Field: "where", Code: "400"}},
		},
	} {
		got, err := s.Client.Check(t.Context(), c.def)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c.want.Problem == nil {
			if got.Problem != nil || got.Where == "" || len(got.Columns) != 4 || !cmp.Equal(got.Reads, c.want.Reads) || !got.HasKey {
				t.Errorf("%s: %+v, problem %+v", name, got, got.Problem)
			}
			continue
		}
		_, refused := s.Client.Create(t.Context(), c.def)
		said, ok := errors.AsType[*client.RequestError](refused)
		p := got.Problem
		if p == nil || p.Field != c.want.Problem.Field || p.Position != c.want.Problem.Position || p.Code != c.want.Problem.Code {
			t.Errorf("%s: %+v", name, p)
		} else if !ok || said.Code != p.Code || !strings.Contains(said.Text, p.Message) {
			t.Errorf("%s: checked, it is %q; asked for, %v", name, p.Message, refused)
		}
	}
	// It makes nothing.
	if all, err := s.Client.List(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("there are shapes %v, %v", all, err)
	}
	var published int
	if err := s.DB.QueryRow(t.Context(), "SELECT count(*) FROM pg_publication_tables WHERE tablename IN ('tasks', 'projects', 'keyless')").Scan(&published); err != nil || published > 0 {
		t.Errorf("%d tables are published, %v", published, err)
	}
	if got, err := s.Client.Check(t.Context(), client.Definition{Table: "tasks", Where: "title <> ''"}); err != nil || got.Hint == "" {
		t.Errorf("of a clause that no index serves %+v is said, %v", got, err)
	}
	// It finds what is there.
	sh := s.Create(client.Definition{Table: "tasks", Where: "project_id = 1"})
	if got, err := s.Client.Check(t.Context(), client.Definition{Table: "public.tasks", Where: "(project_id=1)"}); err != nil || got.Handle != sh.Handle() {
		t.Errorf("%+v, %v", got, err)
	}
}

// reason is a term in one line.
func reason(t control.Term) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%c", t.Truth[0])
	if t.Join != "" {
		out.WriteString(t.Join + "(")
		for i, a := range t.Args {
			if i > 0 {
				out.WriteByte(' ')
			}
			out.WriteString(reason(a))
		}
		return out.String() + ")"
	}
	for _, c := range t.Cells {
		value := "NULL"
		if c.Value != nil {
			value = *c.Value
		}
		fmt.Fprintf(&out, "[%s %.9s]", c.Column, value)
	}
	if t.Test != nil {
		fmt.Fprintf(&out, "{%s", t.Test.Table)
		for _, c := range t.Test.Candidates {
			fmt.Fprintf(&out, " %s:%s", *c.Key[0].Value, reason(c.Why))
		}
		out.WriteString(t.Test.Problem + "}")
	}
	return out.String()
}

// TestWhereARowIs asks of rows which shapes have them and why, and compares it with the shapes.
func TestWhereARowIs(t *testing.T) {
	s := stack.Start(t, explained)
	wheres := []string{
		"", "project_id = 1", "project_id = 1 AND title LIKE 'x%'", "project_id IN (SELECT id FROM projects WHERE active)",
		"title = 'third' OR project_id NOT IN (SELECT id FROM projects WHERE active)", "project_id IN (SELECT id FROM projects WHERE name IN (SELECT title FROM tasks) OR active)",
	}
	shapes := map[string]*client.Shape{}
	for _, w := range wheres {
		shapes[w] = s.Create(client.Definition{Table: "tasks", Where: w})
	}
	var all []*client.Shape
	for _, sh := range shapes {
		all = append(all, sh)
	}
	states := s.Verify(all...)
	want := map[string]map[string]string{
		"1": {
			"": "t", "project_id = 1": "t[project_id 1]", "project_id = 1 AND title LIKE 'x%'": "fAND(t[project_id 1] f[title first])",
			"project_id IN (SELECT id FROM projects WHERE active)":                        "t[project_id 1]{projects 1:t[active t]}",
			"title = 'third' OR project_id NOT IN (SELECT id FROM projects WHERE active)": "fOR(f[title first] fNOT(t[project_id 1]{projects 1:t[active t]}))",
		},
		"2": {"project_id IN (SELECT id FROM projects WHERE active)": "f[project_id 2]{projects 2:f[active f]}"},
		"3": {
			"project_id IN (SELECT id FROM projects WHERE active)":                        "f[project_id 9]{projects}",
			"title = 'third' OR project_id NOT IN (SELECT id FROM projects WHERE active)": "tOR(t[title third] tNOT(f[project_id 9]{projects}))",
		},
		"4": {"title = 'third' OR project_id NOT IN (SELECT id FROM projects WHERE active)": "uOR(f[title fourth] uNOT(u[project_id NULL]{projects}))"},
		"5": {"project_id = 1 AND title LIKE 'x%'": "tAND(t[project_id 1] t[title xxxxxxxxx])"},
	}
	matches := map[string]int{} // by handle
	for id, of := range want {
		got, err := s.Client.Explain(t.Context(), control.ExplainRequest{Table: "tasks", Key: map[string]string{"id": id, "part": "a"}})
		if err != nil {
			t.Fatal(err)
		}
		if !got.Found || got.Next != "" || len(got.Row) != 4 {
			t.Errorf("row %s: %+v", id, got)
		}
		found := 0
		for _, m := range got.In {
			if m.Problem != "" || m.Why == nil {
				t.Errorf("row %s, %q: %+v", id, m.Shape.Where, m)
				continue
			}
			if m.Matches {
				matches[m.Shape.Handle]++
			}
			if shapes[m.Shape.Where] != nil && shapes[m.Shape.Where].Handle() == m.Shape.Handle {
				found++
			}
			if w, ok := of[m.Shape.Where]; ok && (reason(*m.Why) != w || m.Matches != (w[0] == 't')) {
				t.Errorf("row %s, %q: %s, want %s", id, m.Shape.Where, reason(*m.Why), w)
			}
		}
		if found != len(wheres) {
			t.Errorf("row %s: %d of %d shapes are told", id, found, len(wheres))
		}
		// Page by page it is the same.
		var paged []control.RowMembership
		for after := ""; ; {
			part, err := s.Client.Explain(t.Context(), control.ExplainRequest{Table: "tasks", Key: map[string]string{"id": id, "part": "a"}, Limit: 2, After: after})
			if err != nil || len(part.In) > 2 {
				t.Fatalf("%d in a page of 2, %v", len(part.In), err)
			}
			paged = append(paged, part.In...)
			if after = part.Next; after == "" {
				break
			}
		}
		if len(paged) != len(got.In) {
			t.Errorf("row %s: %d by pages, %d at once", id, len(paged), len(got.In))
		}
	}
	for i, sh := range all {
		if got, rows := matches[sh.Handle()], len(states[i].Rows); got != rows {
			t.Errorf("%q: %d rows are said to be in it, and %d are", sh.Info().Where, got, rows)
		}
	}
	if got, err := s.Client.Explain(t.Context(), control.ExplainRequest{Table: "tasks", Key: map[string]string{"id": "99", "part": "a"}}); err != nil || got.Found || len(got.In) < len(wheres) || got.In[0].Why != nil {
		t.Errorf("a row that is not: %+v, %v", got, err)
	}
	for name, req := range map[string]control.ExplainRequest{
		"a part of the key":       {Table: "tasks", Key: map[string]string{"id": "1"}},
		"what is not the key":     {Table: "tasks", Key: map[string]string{"id": "1", "title": "x"}},
		"a value of no such type": {Table: "tasks", Key: map[string]string{"id": "1; DROP TABLE tasks", "part": "a"}},
		"no key":                  {Table: "tasks"},
		"a table without one":     {Table: "keyless", Key: map[string]string{"id": "1"}},
		"a table that is not":     {Table: "nothing", Key: map[string]string{"id": "1"}},
		"too many":                {Table: "tasks", Key: map[string]string{"id": "1", "part": "a"}, Limit: 101},
	} {
		_, err := s.Client.Explain(t.Context(), req)
		if said, ok := errors.AsType[*client.RequestError](err); !ok || said.Code != control.CodeBadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTablesThatMayNotBeAskedForAreNotExplained pins that the list of allowed tables holds for both
// requests.
func TestTablesThatMayNotBeAskedForAreNotExplained(t *testing.T) {
	s := stack.New(t, explained)
	s.Consumer.AllowTables = []string{"tasks"}
	s.StartIngest()
	s.StartConsumer()
	if got, err := s.Client.Check(t.Context(), client.Definition{Table: "projects"}); err != nil || got.Problem == nil || got.Problem.Code != control.CodeForbidden || got.Columns != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := s.Client.Check(t.Context(), client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects)"}); err != nil || got.Problem == nil || got.Problem.Code != control.CodeForbidden {
		t.Errorf("%+v, %v", got, err)
	}
	_, err := s.Client.Explain(t.Context(), control.ExplainRequest{Table: "projects", Key: map[string]string{"id": "1"}})
	if said, ok := errors.AsType[*client.RequestError](err); !ok || said.Code != control.CodeForbidden {
		t.Errorf("%v", err)
	}
}
