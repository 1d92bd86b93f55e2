package logread

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/shapebus/shapebus/pkg/client/event"
	"github.com/shapebus/shapebus/pkg/wire"
)

// Fate is what becomes of a reader that has met an error.
type Fate int

// The fates.
const (
	FateRetry     Fate = iota // it may pass: try again, for as long as it takes
	FateDoubt                 // it passes soon, as on a server that is just starting, or never
	FatePermanent             // trying again does not mend it
	FateBroken                // the log contradicts itself
	FateRefetch               // this incarnation of the shape is over
	FateDecided               // a verdict of the reader's own, to be handed on as it is
)

// Sort is the only place that decides about errors. That a connection is
// closed is not among them: a request that was under way when the connection broke is told
// so, too, and then the connection comes back. Whether it does, the connection says.
func Sort(err error) Fate {
	var refetch *event.MustRefetchError
	var broken *event.BrokenLogError
	var permanent *event.PermanentError
	var refused *event.RequestError
	switch {
	case errors.As(err, &refetch):
		return FateRefetch
	case errors.As(err, &broken), errors.As(err, &permanent), errors.Is(err, ErrStop), errors.Is(err, errMoved), errors.Is(err, errFolded):
		return FateDecided
	case errors.Is(err, wire.ErrCorrupt):
		return FateBroken
	case isAny(err, nats.ErrPermissionViolation, jetstreamext.ErrBatchUnsupported, errNoDirectGets):
		return FatePermanent
	case isAny(err, jetstream.ErrStreamNotFound, jetstream.ErrJetStreamNotEnabled, jetstream.ErrJetStreamNotEnabledForAccount, errNoJetStream):
		return FateDoubt
	case errors.As(err, &refused) && !refused.Temporary():
		return FatePermanent
	}
	return FateRetry
}

func isAny(err error, targets ...error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}

// remedy is what can be done about an error that does not pass.
func remedy(err error) string {
	switch {
	case errors.Is(err, nats.ErrPermissionViolation):
		return "give this NATS user the right to it; docs/PROTOCOL.md, section 5, has what a reader needs"
	case isAny(err, nats.ErrConnectionClosed, nats.ErrConnectionDraining, nats.ErrInvalidConnection):
		return "this connection does not come back: connect again with credentials that are valid, and subscribe again"
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return "check that this NATS user is of the account, and the JetStream domain, in which Shapebus keeps its streams; if the stream was deleted, start the consumer, which makes it again"
	case isAny(err, jetstream.ErrJetStreamNotEnabled, jetstream.ErrJetStreamNotEnabledForAccount, errNoJetStream):
		return "enable JetStream for this NATS user's account, or connect as a user of the account in which Shapebus keeps its streams"
	case errors.Is(err, jetstreamext.ErrBatchUnsupported):
		return "Shapebus needs a NATS server of version 2.12 or later"
	case errors.Is(err, errNoDirectGets):
		return "set allow_direct on the stream"
	}
	return "mend that, and subscribe again"
}

// Permanent is the error of something that trying again does not mend, with what can be done about it.
func Permanent(doing string, err error) error {
	return &event.PermanentError{Doing: doing, Err: err, Remedy: remedy(err)}
}

// ErrStop says that the app has left the loop.
var ErrStop = errors.New("the app left the loop")

// ClosedError says why a connection was closed, if that is known.
func ClosedError(nc *nats.Conn) error {
	if last := nc.LastError(); last != nil && !errors.Is(last, nats.ErrConnectionClosed) {
		return fmt.Errorf("%w: %w", nats.ErrConnectionClosed, last)
	}
	return nats.ErrConnectionClosed
}
