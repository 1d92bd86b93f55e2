package flow

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
	"github.com/shapebus/shapebus/pkg/topology"
)

// hub is a server with JetStream in a domain of its own, and leaf one that reaches it as a leaf node and has JetStream itself.
func hubAndLeaf(t *testing.T) (hub, leaf *natstest.Configured) {
	t.Helper()
	port, err := natstest.FreePort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hub = natstest.StartConfigured(t, fmt.Sprintf(`server_name: hub, jetstream { domain: hub }, leafnodes { listen: "127.0.0.1:%d" }`, port))
	leaf = natstest.StartConfigured(t, fmt.Sprintf(`server_name: leaf, jetstream { domain: leaf }, leafnodes { reconnect: 1s, remotes: [{ url: "nats://127.0.0.1:%d" }] }`, port))
	return hub, leaf
}

// reads follows a shape as an app does: what is there, and what comes.
func reads(s *stack.Stack, cl *client.Client, sh *client.Shape, marker string) {
	s.TB.Helper()
	mine, err := cl.Open(s.TB.Context(), sh.Handle())
	if err != nil {
		s.TB.Fatal(err)
	}
	began, rows := false, 0
	for e, err := range mine.Subscribe(client.Beginning(), client.Options{}).Events(s.TB.Context()) {
		if err != nil {
			s.TB.Fatal(err)
		}
		switch e := e.(type) {
		case client.Change:
			rows++
			if strings.Contains(fmt.Sprint(e.Row.Map()), marker) {
				return
			}
		case client.CaughtUp:
			if !began {
				began = true
				s.Exec("INSERT INTO tasks VALUES ($1)", 4711)
			}
		}
	}
	s.TB.Fatalf("the subscription ended after %d rows", rows)
}

// TestAnAppBehindALeafNodeReadsShapes has the services at the hub and the app at a leaf node, which has a JetStream of its own:
// without the prefix of the hub's domain the app would ask that one.
func TestAnAppBehindALeafNodeReadsShapes(t *testing.T) {
	t.Parallel()
	hub, leaf := hubAndLeaf(t)
	s := stack.Reaching(t, tasks, hub.Connect)
	s.StartIngest()
	s.StartConsumer()
	sh := s.Create(client.Definition{Table: "tasks"})
	nc, err := leaf.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	cl, err := client.New(nc, string(s.Source), client.WithAPIPrefix("$JS.hub.API"))
	if err != nil {
		t.Fatal(err)
	}
	s.Until("the control plane answers through the leaf node", func() (bool, error) {
		_, err := cl.Get(t.Context(), sh.Handle())
		return err == nil, err
	}, func() string { return "it does not" })
	reads(s, cl, sh, "4711")
	s.Verify(sh)

	t.Run("without the prefix it is told that there is no such stream", func(t *testing.T) {
		cl, err := client.New(nc, string(s.Source))
		if err != nil {
			t.Fatal(err)
		}
		mine, err := cl.Open(t.Context(), sh.Handle())
		if err != nil {
			t.Fatal(err)
		}
		for e, err := range mine.Subscribe(client.Beginning(), client.Options{}).Events(t.Context()) {
			if stalled, ok := e.(client.Stalled); ok {
				err = stalled.Err
			}
			if !errors.Is(err, jetstream.ErrStreamNotFound) {
				t.Errorf("%+v, %v", e, err)
			}
			break
		}
	})
	for _, prefix := range []string{"$JS.*.API", ">", ".", "a..b", "a b"} {
		if _, err := client.New(nc, string(s.Source), client.WithAPIPrefix(prefix)); err == nil {
			t.Errorf("prefix %q is taken", prefix)
		}
	}
}

// TestAnAppInAnotherAccountReadsShapes has the app in an account that imports what it needs, under a prefix of its own.
func TestAnAppInAnotherAccountReadsShapes(t *testing.T) {
	t.Parallel()
	server := natstest.StartConfigured(t, `
		jetstream {}
		accounts {
			services {
				jetstream: enabled
				users: [{ user: service, password: x }]
				exports: [
					{ service: "shapebus.>" }
					{ service: "$JS.API.STREAM.INFO.>" }
					{ service: "$JS.API.DIRECT.GET.>", response_type: stream }
					{ stream: "sb.*.live.>" }
				]
			}
			apps {
				users: [{ user: app, password: x }]
				imports: [
					{ service: { account: services, subject: "shapebus.>" } }
					{ service: { account: services, subject: "$JS.API.STREAM.INFO.>" }, to: "js.services.STREAM.INFO.>" }
					{ service: { account: services, subject: "$JS.API.DIRECT.GET.>" }, to: "js.services.DIRECT.GET.>" }
					{ stream: { account: services, subject: "sb.*.live.>" } }
				]
			}
		}
		no_auth_user: service`)
	s := stack.Reaching(t, tasks, server.Connect)
	s.StartIngest()
	s.StartConsumer()
	sh := s.Create(client.Definition{Table: "tasks"})
	nc, err := server.Connect(nats.UserInfo("app", "x"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	cl, err := client.New(nc, string(s.Source), client.WithAPIPrefix("js.services"))
	if err != nil {
		t.Fatal(err)
	}
	reads(s, cl, sh, "4711")
	s.Verify(sh)
}

// TestAnAppReadsAMirrorOfAShapesStream has the leaf node keep a copy of the streams, which an app there reads without asking
// the hub for anything but the definition.
func TestAnAppReadsAMirrorOfAShapesStream(t *testing.T) {
	t.Parallel()
	hub, leaf := hubAndLeaf(t)
	s := stack.Reaching(t, tasks, hub.Connect)
	s.Consumer.Partitions = 1
	s.StartIngest()
	s.StartConsumer()
	sh := s.Create(client.Definition{Table: "tasks"})
	nc, err := leaf.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: s.Source.ShapeStream(0), AllowDirect: true,
		Mirror: &jetstream.StreamSource{Name: s.Source.ShapeStream(0), Domain: "hub"},
	})
	if err != nil {
		t.Fatal(err)
	}
	cl, err := client.New(nc, string(s.Source))
	if err != nil {
		t.Fatal(err)
	}
	s.Until("the mirror has the shape", func() (bool, error) {
		st, err := js.Stream(t.Context(), s.Source.ShapeStream(0))
		if err != nil {
			return false, err
		}
		_, err = st.GetLastMsgForSubject(t.Context(), s.Source.LogSubject(0, sh.Handle()))
		return err == nil, err
	}, func() string { return "it has not" })
	reads(s, cl, sh, "4711")
}

// TestServicesWorkBehindALeafNode has all of them at a leaf node, which has a JetStream of its own that must stay empty. The hub
// holds the streams. Then the link between the two is cut, and everything goes on.
func TestServicesWorkBehindALeafNode(t *testing.T) {
	t.Parallel()
	hub, leaf := hubAndLeaf(t)
	awaitDomain(t, leaf, "hub")
	s := stack.Reaching(t, projectSchema, leaf.Connect)
	hubConn, err := hub.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hubConn.Close)
	if s.JS, err = jetstream.New(hubConn); err != nil { // the test looks at the hub itself
		t.Fatal(err)
	}
	prefix := topology.DomainPrefix("hub")
	s.Ingest.APIPrefix, s.Consumer.APIPrefix, s.Materializer.APIPrefix, s.Gateway.APIPrefix = prefix, prefix, prefix, prefix
	if s.Client, err = client.New(s.NC, string(s.Source), client.WithAPIPrefix(prefix)); err != nil {
		t.Fatal(err)
	}
	s.Consumer.Partitions = 2
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	web, _ := s.StartGateway()
	shapes := []*client.Shape{
		s.Create(client.Definition{Table: "tasks"}),
		s.Create(client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active)"}),
	}
	s.Verify(shapes...)
	work := func(from int) {
		s.Exec("INSERT INTO tasks SELECT i, 3, true, repeat('x', 3000) FROM generate_series($1::int, $1 + 2000) i", from)
		s.Exec("UPDATE projects SET active = NOT active")
		s.Exec("DELETE FROM tasks WHERE id > $1::int + 1000", from)
		s.Verify(shapes...)
	}
	work(10000)
	var rows []map[string]any
	s.Until("the gateway serves the shape", func() (bool, error) {
		res, err := http.Get(web + "/v1/shape?table=tasks&offset=-1")
		if err != nil {
			return false, err
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK, json.NewDecoder(res.Body).Decode(&rows)
	}, func() string { return "it does not" })
	if len(rows) < 200 {
		t.Errorf("the gateway gave %d rows", len(rows))
	}

	// Nothing of it is at the leaf.
	leafJS, err := jetstream.New(s.NC)
	if err != nil {
		t.Fatal(err)
	}
	if names := leafJS.StreamNames(t.Context()); true {
		for name := range names.Name() {
			t.Errorf("the leaf node has the stream %s", name)
		}
	}

	hub.CutLeaves()
	s.Exec("UPDATE tasks SET title = 'while the leaf node is alone'")
	awaitDomain(t, leaf, "hub")
	work(20000)
}

// awaitDomain waits until a domain's JetStream can be reached from a server.
func awaitDomain(t *testing.T, from *natstest.Configured, domain string) {
	t.Helper()
	nc, err := from.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := topology.JetStream(nc, topology.DomainPrefix(domain))
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		info, err := js.AccountInfo(t.Context())
		if err == nil && info.Domain == domain {
			return
		}
		if time.Since(began) > stack.Timeout {
			t.Fatalf("domain %s is not reached: %v", domain, err)
		}
	}
}
