package flow

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

// elsewhere gives consumers the URL of another database of the same cluster, which has a table of the same name.
func elsewhere(s *stack.Stack) *stack.Stack {
	s.TB.Helper()
	foreign := stack.New(s.TB, tasks)
	s.Consumer.DatabaseURL = foreign.URL
	return foreign
}

// untouched fails if a consumer has altered a database.
func untouched(s *stack.Stack) {
	s.TB.Helper()
	var identity string
	if err := s.DB.QueryRow(s.TB.Context(), "SELECT relreplident::text FROM pg_class WHERE oid = 'tasks'::regclass").Scan(&identity); err != nil || identity != "d" {
		s.TB.Errorf("a table of another database was altered: replica identity %s, %v", identity, err)
	}
}

// lives fails if a shape is not live any more, or lacks what the database has.
func lives(s *stack.Stack, sh *client.Shape) {
	s.TB.Helper()
	s.Exec("INSERT INTO tasks SELECT coalesce(max(id), 0) + 1 FROM tasks")
	s.Settle(sh)
	if info, err := sh.Refresh(s.TB.Context()); err != nil || info.State != control.StateLive {
		s.TB.Fatalf("the shape is %+v, %v", info, err)
	}
	s.Verify(sh)
}

// A consumer that is given the URL of another database takes no part: it would find there that tables were dropped, and end
// shapes.
func TestAConsumerOfAnotherDatabaseTakesNoPart(t *testing.T) {
	t.Parallel()
	s := stack.New(t, tasks)
	s.StartIngest()
	stop := s.StartConsumer()
	sh := s.Create(client.Definition{Table: "tasks"})
	lives(s, sh)
	right := s.Consumer
	foreign := elsewhere(s)
	stop()

	wrong, stopWrong := s.BeginConsumer()
	becomes(s, "the consumer", wrong, "another database")
	select {
	case <-wrong.Ready():
		t.Error("it says that it is ready")
	default:
	}
	if m, err := s.NC.Request(s.Source.ControlPlane()+"."+control.EndpointStatus, []byte("{}"), time.Second); err == nil {
		t.Errorf("it answers: %s", m.Data)
	}
	if owned := wrong.Status().Owned; owned != 0 {
		t.Errorf("it holds %d partitions", owned)
	}

	// Beside one with the right URL it stays so, however long it looks at tables.
	s.Consumer = right
	s.StartConsumer()
	lives(s, sh)
	retries := wrong.Status().Retries
	s.Until("it has tried again", func() (bool, error) { return wrong.Status().Retries > retries+1, nil }, func() string { return wrong.Status().LastError })
	lives(s, sh)
	becomes(s, "the consumer", wrong, "another database")
	stopWrong()
	untouched(foreign)
}

// From a reset on until ingest has started nobody knows the database. A consumer that has begun meanwhile with another one
// gives up what it has, before it has looked at a table.
func TestAConsumerThatWasThereFirstIsCompared(t *testing.T) {
	t.Parallel()
	s := stack.New(t, tasks)
	right := s.Consumer
	foreign := elsewhere(s)
	wrong := s.StartConsumerService()
	s.StartIngest()
	becomes(s, "the consumer", wrong, "another database")
	s.Until("it answers nobody", func() (bool, error) {
		_, err := s.NC.Request(s.Source.ControlPlane()+"."+control.EndpointStatus, []byte("{}"), time.Second)
		return errors.Is(err, nats.ErrNoResponders), nil
	}, func() string { return "it does" })
	s.Consumer = right
	consumer := s.StartConsumerService()
	becomes(s, "a consumer of the right one", consumer, "")
	lives(s, s.Create(client.Definition{Table: "tasks"}))
	if owned := wrong.Status().Owned; owned != 0 {
		t.Errorf("it holds %d partitions", owned)
	}
	untouched(foreign)
}

// A connection is compared when it is made, as what a URL names may change under a process that runs: here it leads to a cluster
// with a database of the same name, without the table.
func TestAURLLeadsToAnotherClusterForAWhile(t *testing.T) {
	t.Parallel()
	s := stack.New(t, tasks)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	ours := port(t, u)
	at := newAddress(t, ours)
	u.Host = at.listener.Addr().String()
	s.Consumer.DatabaseURL = u.String()
	s.StartIngest()
	consumer := s.StartConsumerService()
	s.StartMaterializer()
	sh := s.Create(client.Definition{Table: "tasks"})
	lives(s, sh)

	another := pgtest.Own(t, nil)
	if err := another.CreateDatabase(t.Context(), strings.TrimPrefix(u.Path, "/")); err != nil {
		t.Fatal(err)
	}
	there, err := url.Parse(another.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	at.lead(port(t, there))
	s.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'shapebus/consumer'")
	becomes(s, "the consumer", consumer, "another Postgres cluster")
	s.Exec("INSERT INTO tasks VALUES (4711)")
	at.lead(ours)
	becomes(s, "the consumer", consumer, "")
	lives(s, sh)
	lives(s, s.Create(client.Definition{Table: "tasks", Where: "owner = 1"}))
}

func port(t *testing.T, u *url.URL) int {
	t.Helper()
	n, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return n
}
