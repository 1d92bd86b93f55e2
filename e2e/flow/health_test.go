package flow

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/health"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/natsembed"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
	"github.com/shapebus/shapebus/pkg/topology"
)

// asked is a service that says what it knows of its own work.
type asked interface{ Health() health.Facts }

// becomes waits until a service is ready, or not ready for a reason in which why stands.
func becomes(s *stack.Stack, name string, svc asked, why string) {
	s.TB.Helper()
	var err error
	s.Until(fmt.Sprintf("%s is ready, or not because of %q", name, why), func() (bool, error) {
		if err = svc.Health().Ready(time.Now()); why == "" {
			return err == nil, nil
		}
		return err != nil && strings.Contains(err.Error(), why), nil
	}, func() string { return fmt.Sprint(err) })
}

// missed waits until a service says that it misses a stream, or that is made again, which may come before anybody has looked.
func missed(s *stack.Stack, role string, svc asked, stream string, created time.Time) {
	s.TB.Helper()
	var err error
	s.Until(role+" misses "+stream, func() (bool, error) {
		if err = svc.Health().Ready(time.Now()); err != nil && strings.Contains(err.Error(), strings.TrimPrefix(stream, "KV_")) {
			return true, nil
		}
		st, gone := s.JS.Stream(s.TB.Context(), stream)
		return gone == nil && !st.CachedInfo().Created.Equal(created), nil
	}, func() string { return fmt.Sprint(err) })
}

// services starts all of them, and has them be ready.
func services(s *stack.Stack) map[string]asked {
	s.TB.Helper()
	all := map[string]asked{}
	all["ingest"] = s.StartIngestService()
	all["consumer"] = s.StartConsumerService()
	all["materializer"] = s.StartMaterializerService()
	for name, svc := range all {
		becomes(s, name, svc, "")
	}
	return all
}

// What was deleted under running services is made again, and readiness says so meanwhile.
func TestWhatIsDeletedWhileRunningIsMadeAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		stream func(s *stack.Stack) string
		say    []string // services that miss it
	}{
		{"the change log", func(s *stack.Stack) string { return s.Source.ChangeStream() }, []string{"ingest", "consumer"}},
		{"the bucket of table schemas", func(s *stack.Stack) string { return "KV_" + s.Source.RelationBucket() }, []string{"ingest", "consumer"}},
		{"the bucket of shapes", func(s *stack.Stack) string { return "KV_" + s.Source.ShapeBucket() }, []string{"consumer", "materializer"}},
		{"the bucket of leases", func(s *stack.Stack) string { return "KV_" + s.Source.LeaseBucket() }, []string{"consumer", "materializer"}},
		{"the bucket of members", func(s *stack.Stack) string { return "KV_" + s.Source.MemberBucket() }, []string{"consumer", "materializer"}},
		{"a partition's stream", func(s *stack.Stack) string { return s.Source.ShapeStream(0) }, []string{"consumer"}},
		{"a partition's verdicts", func(s *stack.Stack) string { return s.Source.VerdictStream(0) }, []string{"materializer"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := stack.New(t, tasks)
			s.Consumer.Partitions = 1
			all := services(s)
			s.Create(client.Definition{Table: "tasks"})
			name := c.stream(s)
			st, err := s.JS.Stream(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			was := st.CachedInfo().Created
			if err := s.JS.DeleteStream(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			for _, role := range c.say {
				missed(s, role, all[role], name, was)
			}
			for role, svc := range all {
				becomes(s, role, svc, "")
			}
			if _, err := s.JS.Stream(t.Context(), name); err != nil {
				t.Errorf("all services are ready, and stream %s is not there: %v", name, err)
			}
			s.Exec("INSERT INTO tasks VALUES (4711)")
			lsn, err := pg.EmitBarrier(t.Context(), s.DB, topology.BarrierPrefix, "behind")
			if err != nil {
				t.Fatal(err)
			}
			var sh *client.Shape
			s.Until("the shape can be had and is read on", func() (_ bool, err error) { // the one before may end first
				sh, err = s.Client.Create(t.Context(), client.Definition{Table: "tasks"})
				return err == nil && sh.Info().State == control.StateLive && sh.Info().Applied >= lsn, err
			}, func() string { return "it cannot" })
			s.Verify(sh)
		})
	}
}

func TestAServiceWithoutNATSIsNotReady(t *testing.T) {
	t.Parallel()
	port, err := natstest.FreePort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	options := natsembed.Options{Dir: t.TempDir(), Port: port}
	server, err := natsembed.Start(options)
	if err != nil {
		t.Fatal(err)
	}
	s := stack.WithNATS(t, tasks, server)
	all := services(s)
	server.Stop()
	for role, svc := range all {
		becomes(s, role, svc, "NATS: the connection is lost")
	}
	if server, err = natsembed.Start(options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	for role, svc := range all {
		becomes(s, role, svc, "")
	}
}

func TestAServiceWithoutPostgresIsNotReady(t *testing.T) {
	t.Parallel()
	server := pgtest.Own(t, nil)
	s := stack.On(t, server.URL("postgres"), tasks)
	all := services(s)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"ingest", "consumer"} {
		becomes(s, role, all[role], "refused")
	}
	becomes(s, "materializer", all["materializer"], "") // it needs none
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	for role, svc := range all {
		becomes(s, role, svc, "")
	}
}

// What keeps its connections does not need the password, but what makes new ones does.
func TestAConsumerWithoutAValidPasswordIsNotReady(t *testing.T) {
	t.Parallel()
	s := stack.New(t, tasks)
	role := "r_" + string(s.Source)
	s.Exec("CREATE ROLE " + role + " SUPERUSER LOGIN")
	s.StartIngest()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(role)
	s.Consumer.DatabaseURL = u.String()
	svc := s.StartConsumerService()
	becomes(s, "consumer", svc, "")
	s.Exec("ALTER ROLE " + role + " NOLOGIN") // as good as a wrong password, whatever pg_hba.conf says
	becomes(s, "consumer", svc, "not permitted to log in")
	s.Exec("ALTER ROLE " + role + " LOGIN")
	becomes(s, "consumer", svc, "")
}
