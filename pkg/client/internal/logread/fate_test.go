package logread

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/shapebus/shapebus/pkg/client/event"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/wire"
)

// The errors that real servers give are sorted in permanent_test.go; here are all kinds.
func TestErrorsAreSortedOnce(t *testing.T) {
	for _, c := range []struct {
		want Fate
		errs []error
	}{
		{FateRetry, []error{
			context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrDisconnected, errors.New("nats: anything else"),
			&jetstream.APIError{Code: 503, ErrorCode: 10008}, // the cluster has no leader
			&event.RequestError{Code: control.CodeUnavailable}, &event.RequestError{Code: control.CodeConflict},
			nats.ErrAuthorization, // if that is for good, the connection is closed
			// What a request is told that was under way when the connection broke, also if that comes back.
			nats.ErrConnectionClosed, nats.ErrConnectionDraining, nats.ErrInvalidConnection,
		}},
		{FateDoubt, []error{jetstream.ErrStreamNotFound, jetstream.ErrJetStreamNotEnabled, jetstream.ErrJetStreamNotEnabledForAccount, errNoJetStream}},
		{FatePermanent, []error{
			nats.ErrPermissionViolation,
			jetstreamext.ErrBatchUnsupported, errNoDirectGets, &event.RequestError{Code: control.CodeForbidden}, &event.RequestError{Code: control.CodeBadRequest},
		}},
		{FateBroken, []error{wire.ErrCorrupt}},
		{FateRefetch, []error{&event.MustRefetchError{}}},
		{FateDecided, []error{&event.BrokenLogError{}, Permanent("do it", nats.ErrTimeout), ErrStop, errMoved}},
	} {
		for _, err := range c.errs {
			for _, err := range []error{err, fmt.Errorf("read it: %w", err), errors.Join(errors.New("and more"), err)} {
				if got := Sort(err); got != c.want {
					t.Errorf("%q is sorted as %d, want %d", err, got, c.want)
				}
			}
			if c.want == FatePermanent && remedy(err) == "" {
				t.Errorf("%q has no remedy", err)
			}
		}
	}
}
