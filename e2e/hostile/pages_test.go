package hostile

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/micro"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/natsembed"
)

// TestEveryAnswerFitsIntoAMessage asks a server that takes little for shapes of which a page of 500 would be far larger.
func TestEveryAnswerFitsIntoAMessage(t *testing.T) {
	const takes = 64 << 10
	server, err := natsembed.Start(natsembed.Options{Dir: t.TempDir(), MaxPayload: takes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	var columns []string
	for i := range 300 {
		columns = append(columns, fmt.Sprintf(`"a column with a name that is as long as any <%010d>" int`, i))
	}
	s := stack.WithNATS(t, canarySchema+`CREATE TABLE wide (id int PRIMARY KEY, `+strings.Join(columns[:40], ", ")+`);
		CREATE TABLE wider (id int PRIMARY KEY, `+strings.Join(columns, ", ")+`)`, server)
	s.StartIngest()
	s.StartConsumer()
	want := map[string]bool{}
	for i := range 60 {
		sh, err := s.Client.Create(t.Context(), client.Definition{Table: "wide", Where: fmt.Sprintf("id <> %d AND id <> %d", i, i+1000)})
		if err != nil {
			t.Fatal(err)
		}
		want[sh.Handle()] = true
	}
	all, err := s.Client.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, sh := range all {
		if !want[sh.Handle] {
			t.Errorf("shape %s is there twice, or was not asked for", sh.Handle)
		}
		delete(want, sh.Handle)
	}
	if len(want) > 0 {
		t.Errorf("%d shapes of 60 are missing", len(want))
	}
	m, err := s.NC.Request(s.Source.ControlPlane()+"."+control.EndpointList, []byte(`{}`), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var page control.ListResponse
	if err := json.Unmarshal(m.Data, &page); err != nil || !page.More || len(m.Data) > takes || len(m.Data) < takes/2 {
		t.Errorf("the first page has %d bytes and %d shapes, more %t: %v", len(m.Data), len(page.Shapes), page.More, err)
	}

	// What does not fit is refused before anything is stored.
	m, err = s.NC.Request(s.Source.ControlPlane()+"."+control.EndpointCreate, []byte(`{"table":"wider"}`), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if code, text := m.Header.Get(micro.ErrorCodeHeader), m.Header.Get(micro.ErrorHeader); code != control.CodeTooLarge || !strings.Contains(text, "max_payload") {
		t.Errorf("a shape that cannot be described: code %s, %s", code, text)
	}
	if again, err := s.Client.List(t.Context()); err != nil || len(again) != 60 {
		t.Errorf("%d shapes, %v", len(again), err)
	}
}
