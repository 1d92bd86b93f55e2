package client

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/wire"
)

// The errors that real servers give are sorted in permanent_test.go; here are all kinds.
func TestErrorsAreSortedOnce(t *testing.T) {
	for _, c := range []struct {
		want fate
		errs []error
	}{
		{fateRetry, []error{
			context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrDisconnected, errors.New("nats: anything else"),
			&jetstream.APIError{Code: 503, ErrorCode: 10008}, // the cluster has no leader
			&RequestError{Code: control.CodeUnavailable}, &RequestError{Code: control.CodeConflict},
			nats.ErrAuthorization, // if that is for good, the connection is closed
			// What a request is told that was under way when the connection broke, also if that comes back.
			nats.ErrConnectionClosed, nats.ErrConnectionDraining, nats.ErrInvalidConnection,
		}},
		{fateDoubt, []error{jetstream.ErrStreamNotFound, jetstream.ErrJetStreamNotEnabled, jetstream.ErrJetStreamNotEnabledForAccount, errNoJetStream}},
		{fatePermanent, []error{
			nats.ErrPermissionViolation,
			jetstreamext.ErrBatchUnsupported, errNoDirectGets, &RequestError{Code: control.CodeForbidden}, &RequestError{Code: control.CodeBadRequest},
		}},
		{fateBroken, []error{wire.ErrCorrupt}},
		{fateRefetch, []error{&MustRefetchError{}}},
		{fateDecided, []error{&BrokenLogError{}, permanentError("do it", nats.ErrTimeout), errStop, errMoved}},
	} {
		for _, err := range c.errs {
			for _, err := range []error{err, fmt.Errorf("read it: %w", err), errors.Join(errors.New("and more"), err)} {
				if got := sortError(err); got != c.want {
					t.Errorf("%q is sorted as %d, want %d", err, got, c.want)
				}
			}
			if c.want == fatePermanent && remedy(err) == "" {
				t.Errorf("%q has no remedy", err)
			}
		}
	}
}
