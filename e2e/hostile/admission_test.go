package hostile

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// TestAFloodOfRequestsKeepsNobodyFromAnAnswer sends far more requests than can be worked on. Others of the same kind may be refused;
// those of other kinds are answered at once.
func TestAFloodOfRequestsKeepsNobodyFromAnAnswer(t *testing.T) {
	s := stack.Start(t, canarySchema)
	c, _ := startCanary(t, s)
	sh := s.Create(client.Definition{Table: "canary", Where: "id < 0"})
	flooder, err := s.NATS.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer flooder.Close()
	answers := make(chan *nats.Msg, 1<<16)
	inbox := flooder.NewInbox()
	if _, err := flooder.ChanSubscribe(inbox, answers); err != nil {
		t.Fatal(err)
	}
	for endpoint, flood := range map[string]struct {
		requests int
		body     string
	}{
		control.EndpointStatus: {20_000, `{}`},
		control.EndpointList:   {8000, `{}`},
		control.EndpointCreate: {6000, `{"table":"canary","where":"id = 1"}`},
	} {
		requests := flood.requests
		began := time.Now()
		for range requests {
			if err := flooder.PublishRequest(s.Source.ControlPlane()+"."+endpoint, inbox, []byte(flood.body)); err != nil {
				t.Fatal(err)
			}
		}
		if err := flooder.Flush(); err != nil {
			t.Fatal(err)
		}
		asked := time.Now()
		if _, err := s.Client.Get(t.Context(), sh.Handle()); err != nil {
			t.Errorf("during a flood of %s: %v", endpoint, err)
		}
		if took := time.Since(asked); took > 5*time.Second {
			t.Errorf("during a flood of %s an answer to shape.get took %s", endpoint, took)
		}
		c.beat(s)
		if endpoint != control.EndpointCreate { // those that are worked on take Postgres' time and ours, as they must
			c.check(t, "a flood of "+endpoint)
		}
		ok, refused := 0, 0
		for ok+refused < requests && time.Since(began) < stack.Timeout {
			select {
			case m := <-answers:
				if m.Header.Get("Nats-Service-Error-Code") == "" {
					ok++
				} else {
					refused++
				}
			case <-time.After(time.Second):
			}
		}
		t.Logf("%s: %d answered, %d refused in %s", endpoint, ok, refused, time.Since(began).Round(time.Millisecond))
		if ok == 0 {
			t.Errorf("%s: nobody was answered", endpoint)
		}
	}
}

func code(err error) string {
	if refused, ok := errors.AsType[*client.RequestError](err); ok {
		return refused.Code
	}
	return fmt.Sprint(err)
}

// TestASourceHasQuotas runs a consumer that allows little.
func TestASourceHasQuotas(t *testing.T) {
	s := stack.New(t, `CREATE TABLE tasks (id int PRIMARY KEY, title text); CREATE TABLE secrets (id int PRIMARY KEY); CREATE SCHEMA other; CREATE TABLE other.tasks (id int PRIMARY KEY);
		INSERT INTO tasks SELECT i, 'title' FROM generate_series(1, 20) i`)
	s.Consumer.MaxShapes, s.Consumer.MaxClauseBytes, s.Consumer.MaxShapeRows = 4, 500, 10
	s.Consumer.AllowTables = []string{"task*", "other.*"}
	s.StartIngest()
	s.StartConsumer()

	for _, def := range []client.Definition{
		{Table: "secrets"},
		{Table: "tasks", Where: "id IN (SELECT id FROM secrets)"},
		{Table: "tasks", Where: "EXISTS (SELECT 1 FROM secrets s WHERE s.id = tasks.id)"},
		{Table: "pg_catalog.pg_class"},
	} {
		if _, err := s.Client.Create(t.Context(), def); code(err) != control.CodeForbidden || !strings.Contains(err.Error(), "--allow-tables") {
			t.Errorf("%+v: %v", def, err)
		}
	}
	few := s.Create(client.Definition{Table: "tasks", Where: "id <= 9"})
	s.Create(client.Definition{Table: "other.tasks"})

	many, err := s.Client.Create(t.Context(), client.Definition{Table: "tasks"})
	if err != nil {
		t.Fatal(err)
	}
	ended := func(sh *client.Shape) {
		t.Helper()
		info := s.Await(sh, "ended", func(i control.Shape) bool { return i.State == control.StateEnded })
		if !strings.Contains(info.Reason, "--max-shape-rows") {
			t.Errorf("shape %s ended with %q", sh.Handle(), info.Reason)
		}
	}
	ended(many)
	s.Exec("INSERT INTO tasks VALUES (0, 'the tenth'), (-1, 'the eleventh')")
	ended(few)

	if _, err := s.Client.Create(t.Context(), client.Definition{Table: "tasks", Where: "id < 0 AND title <> $1", Params: []any{strings.Repeat("x", 600)}}); code(err) != control.CodeQuota || !strings.Contains(err.Error(), "--max-clause-bytes") {
		t.Errorf("a long clause: %v", err)
	}
	for i := range 3 {
		s.Create(client.Definition{Table: "tasks", Where: fmt.Sprintf("id = %d", i)})
	}
	if _, err := s.Client.Create(t.Context(), client.Definition{Table: "tasks", Where: "id = 7"}); code(err) != control.CodeQuota || !strings.Contains(err.Error(), "--max-shapes") {
		t.Errorf("a fifth shape: %v", err)
	}
	if _, err := s.Client.Create(t.Context(), client.Definition{Table: "tasks", Where: "id = 1"}); err != nil {
		t.Errorf("a shape that there is: %v", err)
	}
	status, err := s.Client.Status(t.Context())
	if err != nil || status.Shapes[control.StateLive] != 4 || status.Shapes[control.StateEnded] != 2 {
		t.Errorf("%+v, %v", status.Shapes, err)
	}
}

// TestNoTableIsChangedWhereThatIsNotAllowed leaves the preparation of tables to their owner.
func TestNoTableIsChangedWhereThatIsNotAllowed(t *testing.T) {
	s := stack.New(t, `CREATE TABLE tasks (id int PRIMARY KEY); CREATE TABLE projects (id int PRIMARY KEY)`)
	s.Consumer.LeaveTables = true
	s.StartIngest()
	s.StartConsumer()
	_, err := s.Client.Create(t.Context(), client.Definition{Table: "tasks"})
	if code(err) != control.CodeForbidden || !strings.Contains(err.Error(), "REPLICA IDENTITY FULL") || !strings.Contains(err.Error(), "--prepare-tables=false") {
		t.Fatalf("a table that nobody has prepared: %v", err)
	}
	var identity string
	if err := s.DB.QueryRow(t.Context(), "SELECT relreplident::text FROM pg_class WHERE oid = 'tasks'::regclass").Scan(&identity); err != nil || identity != "d" {
		t.Fatalf("replica identity %q, %v", identity, err)
	}
	s.Exec(fmt.Sprintf("BEGIN; ALTER TABLE tasks REPLICA IDENTITY FULL; ALTER PUBLICATION %s ADD TABLE tasks; COMMIT", s.Source.Publication()))
	s.Verify(s.Create(client.Definition{Table: "tasks"}))
}
