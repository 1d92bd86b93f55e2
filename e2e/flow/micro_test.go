package flow

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/micro"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// TestTheServiceTellsTheTruthOfItself asks as `nats micro` does: which version it is of, what its requests look like, and how
// many of them there were, failed, and how long they took.
func TestTheServiceTellsTheTruthOfItself(t *testing.T) {
	t.Parallel()
	s := stack.New(t, "CREATE TABLE t (id int PRIMARY KEY)")
	s.Consumer.Version = "v1.2.3-4-gabcdef"
	s.StartIngest()
	s.StartConsumer()
	s.Create(client.Definition{Table: "t"})
	const wrong = 3
	for range wrong {
		if _, err := s.Client.Create(t.Context(), client.Definition{Table: "nowhere"}); err == nil {
			t.Fatal("a table that is not there has a shape")
		}
	}
	ask := func(verb micro.Verb, id string, into any) {
		t.Helper()
		subject, err := micro.ControlSubject(verb, control.ServiceName, id)
		if err != nil {
			t.Fatal(err)
		}
		m, err := s.NC.Request(subject, nil, stack.Timeout)
		if err == nil {
			err = json.Unmarshal(m.Data, into)
		}
		if err != nil {
			t.Fatalf("%s: %v", subject, err)
		}
	}
	var ping micro.Ping
	ask(micro.PingVerb, "", &ping)
	if ping.Type != micro.PingResponseType || ping.Version != "1.2.3-4-gabcdef" || ping.Metadata["source"] != string(s.Source) {
		t.Errorf("%+v", ping)
	}
	var info micro.Info
	ask(micro.InfoVerb, ping.ID, &info)
	for _, e := range info.Endpoints {
		var request, response struct {
			Type       string                    `json:"type"`
			Properties map[string]map[string]any `json:"properties"`
			Required   []string                  `json:"required"`
		}
		if json.Unmarshal([]byte(e.Metadata["request_schema"]), &request) != nil || json.Unmarshal([]byte(e.Metadata["response_schema"]), &response) != nil ||
			request.Type != "object" || response.Type != "object" || len(response.Properties) == 0 {
			t.Errorf("endpoint %s: schemas %q", e.Name, e.Metadata)
		}
		if e.Name == "shape-create" && (!slices.Equal(request.Required, []string{"table"}) || request.Properties["params"]["type"] != "array" || response.Properties["applied"]["type"] != "string") {
			t.Errorf("endpoint %s: schemas %q", e.Name, e.Metadata)
		}
	}
	if len(info.Endpoints) < 7 {
		t.Errorf("%d endpoints", len(info.Endpoints))
	}
	var stats micro.Stats
	s.Until("all requests are counted", func() (bool, error) {
		ask(micro.StatsVerb, ping.ID, &stats)
		for _, e := range stats.Endpoints {
			if e.Name == "shape-create" {
				return e.NumRequests == 1+wrong && e.NumErrors == wrong && e.LastError[:3] == control.CodeBadRequest &&
					e.ProcessingTime > time.Millisecond && e.AverageProcessingTime == e.ProcessingTime/(1+wrong) && e.QueueGroup == micro.DefaultQueueGroup, nil
			}
		}
		return false, nil
	}, func() string { b, _ := json.Marshal(stats); return fmt.Sprint(string(b)) })
}
