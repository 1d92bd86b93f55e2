package intake

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/micro"

	"github.com/shapebus/shapebus/pkg/control"
)

// The client library takes no service with a version of another form.
func TestAnyBuildHasASemanticVersion(t *testing.T) {
	for version, want := range map[string]string{
		"v1.2.3": "1.2.3", "1.2.3": "1.2.3", "v0.0.0-20261129140252-b9e288b12345+dirty": "0.0.0-20261129140252-b9e288b12345+dirty",
		"(devel)": "0.0.0+devel", "": "0.0.0", "main": "0.0.0+main", "v1.2": "0.0.0+v1-2", "nightly build / 7": "0.0.0+nightly-build-7",
	} {
		if got := semantic(version); got != want {
			t.Errorf("semantic(%q) = %q, want %q", version, got, want)
		}
	}
}

func TestRefusalsAreCounted(t *testing.T) {
	s := NewService(nil, "main", "v1.0.0")
	e := &Endpoint{Name: "shape.get"}
	s.Add(e, "shapebus.main.shape.get")
	e.Answered(3, "")
	e.Answered(5, "404:no such shape")
	if got := e.now(); got.NumRequests != 2 || got.NumErrors != 1 || got.LastError != "404:no such shape" || got.ProcessingTime != 8 || got.AverageProcessingTime != 4 || got.Name != "shape-get" {
		t.Errorf("%+v", got)
	}
	if len(s.info.Endpoints) != 1 || s.info.Endpoints[0].QueueGroup != micro.DefaultQueueGroup {
		t.Errorf("%+v", s.info)
	}
}

// A term of an explanation is made of terms.
func TestWhatIsMadeOfItsOwnKindHasASchema(t *testing.T) {
	about := Schemas(control.ExplainRequest{}, control.Explanation{})
	if s := about["response_schema"]; !strings.Contains(s, `"title":"Term"`) || len(s) > 20_000 {
		t.Errorf("%d bytes: %.2000s", len(s), s)
	}
	if s := about["request_schema"]; !strings.Contains(s, `"key":{"additionalProperties":{"type":"string"},"type":"object"}`) {
		t.Error(s)
	}
}
