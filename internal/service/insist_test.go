package service

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/topology"
)

func TestARefusalThatLastsIsFinal(t *testing.T) {
	refusal := topology.Explain(fmt.Errorf("create: %w", &jetstream.APIError{ErrorCode: 10027}))
	other := errors.New("no connection")
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var i Insist
	for _, step := range []struct {
		after time.Duration
		err   error
		final bool
	}{
		{0, refusal, false},
		{insistFor - 1, refusal, false},
		{insistFor, other, false},
		{insistFor + 1, refusal, false},
		{2*insistFor + 1, refusal, true},
	} {
		if final := i.Final(step.err, now.Add(step.after)); final != step.final {
			t.Errorf("after %s, %v: final is %v, want %v", step.after, step.err, final, step.final)
		}
	}
}
