package topology

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// ConfigurationError is a refusal of JetStream that waiting does not cure, with what does.
type ConfigurationError struct {
	Err  error
	Cure string
}

func (e *ConfigurationError) Error() string { return fmt.Sprintf("%v: %s", e.Err, e.Cure) }
func (e *ConfigurationError) Unwrap() error { return e.Err }

// Permanent returns the ConfigurationError in an error, nil if there is none. A cluster that starts may give one
// for a few seconds.
func Permanent(err error) *ConfigurationError {
	e, _ := errors.AsType[*ConfigurationError](err)
	return e
}

// cures are what a person has to do about codes of JetStream errors for which nats.go has no names.
var cures = map[jetstream.ErrorCode]string{
	10005: "no server may hold another copy: give --replicas no more than there are servers in the cluster that have JetStream and room (nats server report jetstream), or start those that are down",
	10027: "the account may have no more streams: raise its limit (shapebus check says how many a source needs)",
	10047: "the server or the account cannot reserve what a stream may grow to: give ingest a smaller --change-log-max-bytes, or more storage to JetStream (max_file_store)",
	10074: "a single server keeps one copy: start with --replicas 1, or run a cluster",
	10113: "the account wants every stream to have a size limit, which buckets cannot have: lift that rule (max_bytes_required) for this account",
}

// permanent finds an error's cure; nil if it has none.
func permanent(err error) error {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		if cure, ok := cures[api.ErrorCode]; ok {
			return &ConfigurationError{Err: err, Cure: cure}
		}
	}
	return nil
}
