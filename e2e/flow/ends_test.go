package flow

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/logcheck"
	"github.com/shapebus/shapebus/e2e/long"
	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// TestShapesEndWhenTheirTableChanges pins I9: every kind of change ends exactly
// the shapes of that table, with a reason, and a new incarnation can begin.
func TestShapesEndWhenTheirTableChanges(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, sql, reason string
		long              bool
	}{
		{"column added", "ALTER TABLE victim ADD extra int; INSERT INTO victim VALUES (9, 'x', 1)", "column extra was added", false},
		{"column added, and the table is quiet", "ALTER TABLE victim ADD extra int", "column extra was added", true},
		{"column dropped", "ALTER TABLE victim DROP name", "column name", true},
		{"column retyped", "ALTER TABLE victim ALTER name TYPE varchar(50); UPDATE victim SET name = 'y'", "column name of public.victim changed its type", true},
		{"column renamed", "ALTER TABLE victim RENAME name TO label", "column name", true},
		{"table renamed", "ALTER TABLE victim RENAME TO other; INSERT INTO other VALUES (9, 'x')", "renamed to public.other", true},
		{"table dropped", "DROP TABLE victim", "dropped", true},
		{"table dropped and created again", "DROP TABLE victim; CREATE TABLE victim (id int PRIMARY KEY, name text)", "dropped", false},
		{"identity changed", "ALTER TABLE victim REPLICA IDENTITY DEFAULT; UPDATE victim SET name = 'y'", "replica identity", false},
		{"primary key dropped", "ALTER TABLE victim DROP CONSTRAINT victim_pkey", "primary key", false},
		{"in the middle of a large transaction", "BEGIN; INSERT INTO victim SELECT i, 'x' FROM generate_series(100, 5000) i; ALTER TABLE victim ADD extra int; INSERT INTO victim SELECT i, 'x', 1 FROM generate_series(5001, 9000) i; COMMIT", "column extra was added", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.long {
				long.Only(t)
			}
			s := stack.New(t, "CREATE TABLE victim (id int PRIMARY KEY, name text); CREATE TABLE bystander (id int PRIMARY KEY); INSERT INTO victim VALUES (1, 'a')")
			s.Ingest.FragmentOps = 100
			s.StartIngest()
			s.StartConsumer()
			victim := s.Create(client.Definition{Table: "victim"})
			bystander := s.Create(client.Definition{Table: "bystander"})
			s.Exec("INSERT INTO victim VALUES (2, 'b')")
			s.Verify(victim, bystander)

			s.Exec(tt.sql)
			info := s.Await(victim, "ended", func(i control.Shape) bool { return i.State == control.StateEnded })
			if !strings.Contains(info.Reason, tt.reason) {
				t.Errorf("reason %q, want one with %q", info.Reason, tt.reason)
			}
			if st := replayEnded(s, victim); st.Ended != info.Reason {
				t.Errorf("the log ends with %q, the record with %q", st.Ended, info.Reason)
			}
			var must *client.MustRefetchError
			for _, err := range victim.Subscribe(client.Beginning(), client.Options{}).Events(t.Context()) {
				if err != nil && !errors.As(err, &must) {
					t.Fatal(err)
				}
			}
			if must == nil || must.Reason != info.Reason {
				t.Errorf("a reader is told %v, want must-refetch with %q", must, info.Reason)
			}
			s.Exec("INSERT INTO bystander VALUES (1)")
			s.Verify(bystander)
			if tt.reason == "dropped" && !strings.Contains(tt.name, "again") || strings.Contains(tt.name, "renamed") && strings.Contains(tt.name, "table") {
				return
			}
			again := s.Create(client.Definition{Table: "victim"})
			if again.Handle() == victim.Handle() {
				t.Error("the new incarnation has the old handle")
			}
			s.Verify(again)
		})
	}
}

// TestPublicationLoss ends shapes whose table leaves the publication: nothing
// would tell of its changes any more.
func TestPublicationLoss(t *testing.T) {
	s := stack.Start(t, tasks)
	sh := s.Create(client.Definition{Table: "tasks"})
	s.Exec("ALTER PUBLICATION " + pg.Ident(s.Source.Publication()) + " DROP TABLE tasks")
	info := s.Await(sh, "ended", func(i control.Shape) bool { return i.State == control.StateEnded })
	if !strings.Contains(info.Reason, "publication") {
		t.Errorf("reason %q", info.Reason)
	}
}

// TestADroppedPublicationEndsShapesBeforeTheyLackRows: the walsender tells, with an error or from
// Postgres 18 on a warning, and nobody waits for a look at the catalog.
func TestADroppedPublicationEndsShapesBeforeTheyLackRows(t *testing.T) {
	s := stack.New(t, tasks)
	s.Consumer.CatalogInterval = time.Hour
	s.StartIngest()
	s.StartConsumer()
	sh := s.Create(client.Definition{Table: "tasks"})
	s.Exec("INSERT INTO tasks VALUES (1000)")
	before := s.Verify(sh)[0]
	s.Exec("DROP PUBLICATION " + pg.Ident(s.Source.Publication()))
	s.Exec("INSERT INTO tasks VALUES (1001)")
	info := s.Await(sh, "ended", func(i control.Shape) bool { return i.State == control.StateEnded })
	if !strings.Contains(info.Reason, "was dropped for a while") {
		t.Errorf("reason %q", info.Reason)
	}
	if info.Offset != before.Last {
		t.Errorf("there is a commit marker at %s, behind that at %s, without the row", info.Offset, before.Last)
	}
	s.Verify(s.Create(client.Definition{Table: "tasks"}))
}

// TestSlotLoss ends every shape: changes are missing from then on.
func TestSlotLoss(t *testing.T) {
	s := stack.New(t, tasks)
	stop := s.StartIngest()
	s.StartConsumer()
	sh := s.Create(client.Definition{Table: "tasks"})
	s.Exec("INSERT INTO tasks VALUES (1000)")
	s.Verify(sh)
	stop()
	dropSlot(s)
	s.Exec("INSERT INTO tasks VALUES (1001)")
	s.StartIngest()
	info := s.Await(sh, "ended", func(i control.Shape) bool { return i.State == control.StateEnded })
	if !strings.Contains(info.Reason, "slot") {
		t.Errorf("reason %q", info.Reason)
	}
	s.Verify(s.Create(client.Definition{Table: "tasks"}))
}

// TestDelete removes a shape, tells its readers, and makes room for a new one.
func TestDelete(t *testing.T) {
	s := stack.Start(t, tasks)
	sh := s.Create(client.Definition{Table: "tasks"})
	if err := sh.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Until("the shape is gone", func() (bool, error) {
		_, err := s.Client.Get(t.Context(), sh.Handle())
		return errors.Is(err, client.ErrNotFound), err
	}, func() string { return "still there" })
	st, err := logcheck.Replay(t.Context(), s.JS, s.Source, sh.Info())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(st.Ended, "deleted") {
		t.Errorf("the log ends with %q", st.Ended)
	}
	again := s.Create(client.Definition{Table: "tasks"})
	if again.Handle() == sh.Handle() {
		t.Error("the new incarnation has the old handle")
	}
	s.Verify(again)
}

// TestAShapeAskedForAtOnceAfterAChangeIsANewOne: the change has not been
// noticed yet. Nobody gets the incarnation that is about to end, nor a subquery on it.
func TestAShapeAskedForAtOnceAfterAChangeIsANewOne(t *testing.T) {
	s := stack.New(t, projectSchema)
	s.Consumer.CatalogInterval = time.Second
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	def := client.Definition{Table: "projects", Columns: []string{"id"}, Where: "active"}
	old := s.Create(def)
	s.Verify(old)
	s.Exec("BEGIN; DROP TABLE projects; CREATE TABLE projects (id int PRIMARY KEY, active bool, owner int); INSERT INTO projects SELECT i, true, 1 FROM generate_series(1, 5) i; COMMIT")
	outer := s.Create(client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active)"})
	again := s.Create(def)
	if again.Handle() == old.Handle() || outer.Info().Subqueries[0] != again.Handle() {
		t.Errorf("the shape was %s and is %s; the subquery is %s", old.Handle(), again.Handle(), outer.Info().Subqueries[0])
	}
	s.Verify(outer, again)
}
