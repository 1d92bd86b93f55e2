package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/preflight"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/services/consumer"
	"github.com/shapebus/shapebus/services/ingest"
	"github.com/shapebus/shapebus/services/materializer"
)

// A prefix that an account gave to what it imports: whoever writes would publish on subjects of the wrong account.
func TestServicesRefuseAPrefixWithWhichNothingCanBeWritten(t *testing.T) {
	nc := &nats.Conn{} // it is not used
	build := map[string]func(prefix string) error{
		"ingest": func(prefix string) error {
			_, err := ingest.New(ingest.Config{Source: "main", DatabaseURL: "x", NATS: nc, APIPrefix: prefix})
			return err
		},
		"consumer": func(prefix string) error {
			_, err := consumer.New(consumer.Config{Source: "main", DatabaseURL: "x", NATS: nc, APIPrefix: prefix})
			return err
		},
		"materializer": func(prefix string) error {
			_, err := materializer.New(materializer.Config{Source: "main", NATS: nc, APIPrefix: prefix})
			return err
		},
	}
	for name, of := range build {
		for _, prefix := range []string{"js.services", "$JS.a.b.API", "$JS..API", "$JS.*.API", "$JS.API.x", "$JS"} {
			if err := of(prefix); err == nil || !strings.Contains(err.Error(), "belongs into the account that holds the streams") {
				t.Errorf("%s with prefix %q: %v", name, prefix, err)
			}
		}
		for _, prefix := range []string{"", "$JS.API", "$JS.hub.API", "$JS.hub.API."} {
			if err := of(prefix); err != nil {
				t.Errorf("%s with prefix %q: %v", name, prefix, err)
			}
		}
	}
}

// What check says of a server that is a leaf node.
func TestCheckOnALeafNodeSaysWhatItCannotSee(t *testing.T) {
	port, err := natstest.FreePort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hub := natstest.StartConfigured(t, fmt.Sprintf(`server_name: hub, jetstream { domain: hub }, leafnodes { listen: "127.0.0.1:%d" }`, port))
	remote := fmt.Sprintf(`leafnodes { reconnect: 1s, remotes: [{ url: "nats://127.0.0.1:%d" }] }`, port)
	leaf := natstest.StartConfigured(t, `server_name: leaf, jetstream { domain: leaf }, `+remote)
	find := func(nc *nats.Conn, prefix string) (leaf, jetstream preflight.Finding) {
		c := checkCmd{Partitions: 1, Replicas: 1}
		c.NATS.APIPrefix, c.NATS.InboxPrefix = prefix, "_INBOX"
		for _, f := range c.checkNATS(t.Context(), nc, "main", pg.Database{}) {
			switch f.Name {
			case "leaf node":
				leaf = f
			case "jetstream":
				jetstream = f
			}
		}
		return leaf, jetstream
	}
	behind, err := leaf.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(behind.Close)
	js, err := topology.JetStream(behind, topology.DomainPrefix("hub"))
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		if _, err := js.AccountInfo(t.Context()); err == nil {
			break
		} else if time.Since(began) > time.Minute {
			t.Fatal(err)
		}
	}
	said, stream := find(behind, "$JS.hub.API")
	if !strings.Contains(said.Detail, "domain hub, behind leaf") || !strings.Contains(said.Detail, "cannot be seen from here") || !said.OK {
		t.Errorf("behind a leaf node: %+v", said)
	}
	if !strings.Contains(stream.Detail, "in domain hub") {
		t.Errorf("JetStream behind a leaf node: %+v", stream)
	}
	if said, stream := find(behind, ""); said.Name != "" || !strings.Contains(stream.Detail, "in domain leaf") {
		t.Errorf("the leaf node's own JetStream: %+v, %+v", said, stream)
	}
	if said, _ := find(behind, "js.import"); !strings.Contains(said.Detail, "cannot be seen from here") {
		t.Errorf("with a prefix of an import: %+v", said)
	}
	direct, err := hub.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(direct.Close)
	if said, _ := find(direct, ""); said.Name != "" {
		t.Errorf("at the hub itself: %+v", said)
	}
}
