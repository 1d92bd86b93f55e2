package client

import (
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/shapebus/shapebus/pkg/wire"
)

// fate is what becomes of a reader that has met an error.
type fate int

const (
	fateRetry     fate = iota // it may pass: try again, for as long as it takes
	fateDoubt                 // it passes soon, as on a server that is just starting, or never
	fatePermanent             // trying again does not mend it
	fateBroken                // the log contradicts itself
	fateRefetch               // this life of the shape is over
	fateDecided               // a verdict of the reader's own, to be handed on as it is
)

// sortError is the only place that decides about errors. That a connection is
// closed is not among them: a request that was under way when the connection broke is told
// so, too, and then the connection comes back. Whether it does, the connection says.
func sortError(err error) fate {
	var refetch *MustRefetchError
	var broken *BrokenLogError
	var permanent *PermanentError
	var refused *RequestError
	switch {
	case errors.As(err, &refetch):
		return fateRefetch
	case errors.As(err, &broken), errors.As(err, &permanent), errors.Is(err, errStop), errors.Is(err, errMoved):
		return fateDecided
	case errors.Is(err, wire.ErrCorrupt):
		return fateBroken
	case isAny(err, nats.ErrPermissionViolation, jetstreamext.ErrBatchUnsupported, errNoDirectGets):
		return fatePermanent
	case isAny(err, jetstream.ErrStreamNotFound, jetstream.ErrJetStreamNotEnabled, jetstream.ErrJetStreamNotEnabledForAccount, errNoJetStream):
		return fateDoubt
	case errors.As(err, &refused) && !refused.Temporary():
		return fatePermanent
	}
	return fateRetry
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
