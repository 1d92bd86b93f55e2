package flow

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// TestShapesBehindTheMainLoopEndWhenTheirTableChanges: a shape that waits for a
// unit, or is in one, ends like any other, and lets go of the change log.
func TestShapesBehindTheMainLoopEndWhenTheirTableChanges(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		sql, reason string
		poll        time.Duration // of the catalog; long if the unit itself is to notice
	}{
		{"DROP TABLE tasks", "was dropped", time.Hour},
		{"ALTER TABLE tasks DROP COLUMN title", "title", time.Hour},
		{"ALTER TABLE tasks RENAME TO jobs", "renamed to public.jobs", time.Hour},
		{"ALTER TABLE tasks RENAME title TO name", "title", time.Hour},
		{"DROP TABLE tasks; CREATE TABLE tasks (id int PRIMARY KEY, project_id int, done bool, title text)", "dropped", time.Hour},
		{"ALTER TABLE tasks DROP CONSTRAINT tasks_pkey", "primary key", 200 * time.Millisecond},
	} {
		t.Run(tt.sql, func(t *testing.T) {
			s := stack.New(t, projectSchema)
			s.Consumer.CatalogInterval = tt.poll
			stopIngest := s.StartIngest()
			s.StartConsumer()
			s.StartMaterializer()
			outer := s.Create(client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active)"})
			plain := s.Create(client.Definition{Table: "projects"})
			s.Verify(outer, plain)
			stopIngest()
			s.Exec("UPDATE projects SET active = NOT active")
			s.Exec(tt.sql)
			s.StartIngest()
			info := s.Await(outer, "ended", func(i control.Shape) bool { return i.State == control.StateEnded })
			if !strings.Contains(info.Reason, tt.reason) {
				t.Errorf("reason %q, want one with %q", info.Reason, tt.reason)
			}
			s.Verify(plain)
			awaitTrimmed(s)
		})
	}
}

// awaitTrimmed writes until the change log has been trimmed beyond what is in it now.
func awaitTrimmed(s *stack.Stack) {
	s.TB.Helper()
	st, err := s.JS.Stream(s.TB.Context(), s.Source.ChangeStream())
	if err != nil {
		s.TB.Fatal(err)
	}
	info, err := st.Info(s.TB.Context())
	if err != nil {
		s.TB.Fatal(err)
	}
	past := info.State.LastSeq
	s.Until("the change log is trimmed", func() (bool, error) {
		s.Exec("UPDATE projects SET owner = owner + 1 WHERE id = 1")
		info, err := st.Info(s.TB.Context())
		return err == nil && info.State.FirstSeq > past, err
	}, func() string { return "not" })
}

// TestShapesThatWaitEndWhenTheirTableChanges: nothing comes that would let them
// go on, so only the catalog tells, of their own table or of an inner one.
func TestShapesThatWaitEndWhenTheirTableChanges(t *testing.T) {
	t.Parallel()
	const chain = "task_id IN (SELECT id FROM tasks WHERE project_id IN (SELECT id FROM projects WHERE active))"
	for _, tt := range []struct{ sql, reason string }{
		{"DROP TABLE comments", "was dropped"},
		{"ALTER TABLE comments ADD extra int", "extra was added"},
		{"DROP TABLE tasks", "subquery"},
		{"ALTER TABLE projects RENAME active TO alive", "subquery"},
	} {
		t.Run(tt.sql, func(t *testing.T) {
			s := stack.New(t, projectSchema+"; CREATE TABLE comments (id int PRIMARY KEY, task_id int)")
			s.StartIngest()
			s.StartConsumer() // and no materializer: it waits for a base for ever
			sh, err := s.Client.Create(t.Context(), client.Definition{Table: "comments", Where: chain})
			if err != nil {
				t.Fatal(err)
			}
			s.Await(sh, "waiting", func(i control.Shape) bool { return strings.Contains(i.Reason, "materializer") })
			s.Exec(tt.sql)
			info := s.Await(sh, "ended", func(i control.Shape) bool { return i.State == control.StateEnded })
			if !strings.Contains(info.Reason, tt.reason) {
				t.Errorf("reason %q, want one with %q", info.Reason, tt.reason)
			}
		})
	}
}

// TestAShapeThatMayNotBeReadEnds: what only a person can cure is not tried for
// ever, in a first unit as little as in a later one.
func TestAShapeThatMayNotBeReadEnds(t *testing.T) {
	const where = "project_id IN (SELECT id FROM projects WHERE active)"
	s := stack.New(t, projectSchema)
	url, role := reader(s)
	s.Exec("GRANT SELECT ON projects, tasks TO " + role)
	s.StartIngest()
	stop := s.StartConsumer()
	s.StartMaterializer()
	s.Create(client.Definition{Table: "projects", Columns: []string{"id"}, Where: "active"}) // so that the inner shape stays
	later := s.Create(client.Definition{Table: "tasks", Where: where})                       // which publishes the tables
	stop()
	var o once
	atSnapshots(s, o.next)
	s.Consumer.DatabaseURL = url
	s.StartConsumer()
	s.Verify(later)
	first := s.Create(client.Definition{Table: "tasks", Where: "done AND " + where})
	s.Verify(later, first)

	for _, c := range []struct {
		what  string
		begin func() *client.Shape
	}{
		{"a later unit", func() *client.Shape { s.Exec("UPDATE projects SET active = NOT active"); return later }},
		{"the first unit", func() *client.Shape {
			sh, err := s.Client.Create(t.Context(), client.Definition{Table: "tasks", Where: "NOT done AND " + where})
			if err != nil {
				t.Fatal(err)
			}
			return sh
		}},
	} {
		o.arm("REVOKE SELECT ON tasks FROM " + role)
		sh := c.begin()
		info := s.Await(sh, "ended", func(i control.Shape) bool { return i.State == control.StateEnded })
		if !strings.Contains(info.Reason, "GRANT SELECT") {
			t.Errorf("%s: reason %q", c.what, info.Reason)
		}
		s.Exec("GRANT SELECT ON tasks TO " + role)
	}
}

// reader makes a role that may read nothing yet, and the database's URL for it.
func reader(s *stack.Stack) (withUser, role string) {
	s.TB.Helper()
	role = "reader_" + string(s.Source)
	s.Exec("CREATE ROLE " + role + " LOGIN PASSWORD 'reader'")
	conn := s.Connect()
	s.TB.Cleanup(func() { // before the connection is closed
		ctx, cancel := context.WithTimeout(context.Background(), stack.Timeout)
		defer cancel()
		if _, err := conn.PgConn().Exec(ctx, "DROP OWNED BY "+role+"; DROP ROLE "+role).ReadAll(); err != nil {
			s.TB.Error(err)
		}
	})
	u, err := url.Parse(s.URL)
	if err != nil {
		s.TB.Fatal(err)
	}
	u.User = url.UserPassword(role, "reader")
	return u.String(), role
}
