package topology_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/topology"
)

func TestRefusalsComeWithTheirCures(t *testing.T) {
	for code, cure := range map[jetstream.ErrorCode]string{
		10005: "--replicas", 10027: "raise its limit", 10047: "--change-log-max-bytes", 10074: "--replicas 1", 10113: "max_bytes_required",
	} {
		api := &jetstream.APIError{ErrorCode: code, Description: "no"}
		err := topology.Explain(fmt.Errorf("create stream S: %w", api))
		if topology.Permanent(err) == nil || !strings.Contains(err.Error(), cure) || !errors.Is(err, api) {
			t.Errorf("%d: %v; want a permanent error with %q", code, err, cure)
		}
	}
	for _, code := range []jetstream.ErrorCode{10077, 10023, 10002} {
		if err := topology.Explain(&jetstream.APIError{ErrorCode: code}); topology.Permanent(err) != nil {
			t.Errorf("%d ends by itself, and is permanent: %v", code, err)
		}
	}
}
