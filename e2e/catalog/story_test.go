package catalog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// story is one change of the catalog. Each has a schema of its own, which its statements find in
// the search_path and its clauses as {s}; {pub} is the publication.
type story struct {
	name  string
	since int // the first major version of Postgres that can tell it; 0 is any
	setup string
	table string // of the shape
	where string // of the shape
	// sql are the statements, each sent by itself.
	sql []string
	// ends is a part of the reason with which the shape ends. With goesOn the shape must not end,
	// with either both is right.
	ends string
	// refused is a part of the error with which the shape is refused, before sql or, if it has
	// ended, behind it.
	refused string
}

// The outcomes beside an end with a reason.
const (
	goesOn = ""
	either = "*"
)

// margin bounds the wait for an end that should have come already.
const margin = 10 * time.Second

// telling is a story with its shape.
type telling struct {
	story

	schema string
	shape  *client.Shape // nil if it was refused
}

// tell tells all stories beside each other on one stack, and judges them when the tables have been
// looked at behind the last one.
func tell(t *testing.T, s *stack.Stack, stories []story) {
	t.Helper()
	var told []*telling
	for i, st := range stories {
		if st.since <= pg.Major(s.DB) {
			told = append(told, &telling{story: st, schema: fmt.Sprintf("s%02d", i)})
		}
	}
	all := func(part string, f func(*telling, *stack.Stack)) {
		t.Run(part, func(t *testing.T) {
			for _, one := range told {
				t.Run(one.name, func(t *testing.T) {
					t.Parallel()
					f(one, on(t, s))
				})
			}
		})
	}
	all("before", (*telling).begin)
	all("the change", (*telling).change)
	looked(s)
	all("behind it", (*telling).judge)
}

// on is the stack for a part of its test, which has a connection of its own.
func on(t *testing.T, s *stack.Stack) *stack.Stack {
	t.Helper()
	part := *s
	part.TB = t
	part.DB = part.Connect()
	return &part
}

// looked returns when the tables have been looked at twice since the call: some differences are judged one look later.
func looked(s *stack.Stack) {
	s.TB.Helper()
	for range 2 {
		s.Exec("DROP TABLE IF EXISTS canary; CREATE TABLE canary (id int PRIMARY KEY)")
		sh := s.Create(client.Definition{Table: "canary"})
		s.Exec("DROP TABLE canary")
		s.Await(sh, "ended", func(i control.Shape) bool { return i.State == control.StateEnded })
	}
}

func (o *telling) text(s *stack.Stack, text string) string {
	return strings.NewReplacer("{s}", o.schema, "{pub}", pg.Ident(s.Source.Publication())).Replace(text)
}

func (o *telling) definition(s *stack.Stack) client.Definition {
	return client.Definition{Table: o.schema + "." + o.table, Where: o.text(s, o.where)}
}

// enter puts the story's schema first in a connection's search_path.
func (o *telling) enter(s *stack.Stack, conn *pgx.Conn) {
	s.TB.Helper()
	run(s, conn, "SET search_path = "+o.schema+", public")
}

func run(s *stack.Stack, conn *pgx.Conn, sql string) {
	s.TB.Helper()
	if _, err := conn.PgConn().Exec(s.TB.Context(), sql).ReadAll(); err != nil {
		s.TB.Fatalf("%s: %v", sql, err)
	}
}

func (o *telling) begin(s *stack.Stack) {
	run(s, s.DB, "CREATE SCHEMA "+o.schema)
	o.enter(s, s.DB)
	run(s, s.DB, o.text(s, o.setup))
	sh, err := s.Client.Create(s.TB.Context(), o.definition(s))
	if o.refused != "" && len(o.sql) == 0 {
		if err == nil || !strings.Contains(err.Error(), o.refused) {
			s.TB.Errorf("asking for the shape gives %v, want an error with %q", err, o.refused)
		}
		return
	}
	if err != nil {
		s.TB.Fatal(err)
	}
	s.Await(sh, "live", func(i control.Shape) bool { return i.State == control.StateLive })
	o.shape = sh
}

func (o *telling) change(s *stack.Stack) {
	if o.shape == nil {
		return
	}
	o.enter(s, s.DB)
	for _, sql := range o.sql {
		run(s, s.DB, o.text(s, sql))
	}
}

func (o *telling) judge(s *stack.Stack) {
	if o.shape == nil {
		return
	}
	now, err := o.shape.Refresh(s.TB.Context())
	if err != nil {
		s.TB.Fatal(err)
	}
	if o.ends != goesOn && o.ends != either {
		for limit := time.Now().Add(margin); now.State != control.StateEnded; now, err = o.shape.Refresh(s.TB.Context()) {
			if err != nil {
				s.TB.Fatal(err)
			}
			if time.Now().After(limit) {
				s.TB.Fatalf("the shape is %s, want it ended with %q", now.State, o.ends)
			}
		}
		if !strings.Contains(now.Reason, o.ends) {
			s.TB.Errorf("the shape ended with %q, want %q", now.Reason, o.ends)
		}
	}
	if now.State != control.StateEnded {
		s.Verify(o.shape)
		return
	}
	if o.ends == goesOn {
		s.TB.Errorf("the shape ended: %s", now.Reason)
	}
	o.again(s)
}

// again asks for the shape that has ended.
func (o *telling) again(s *stack.Stack) {
	sh, err := s.Client.Create(s.TB.Context(), o.definition(s))
	switch {
	case o.refused != "":
		if err == nil || !strings.Contains(err.Error(), o.refused) {
			s.TB.Errorf("asking again gives %v, want an error with %q", err, o.refused)
		}
	case err != nil:
		s.TB.Error(err)
	case sh.Handle() == o.shape.Handle():
		s.TB.Errorf("asking again gives the shape that has ended")
	default:
		s.Await(sh, "live", func(i control.Shape) bool { return i.State == control.StateLive })
		s.Verify(sh)
	}
}
