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
	10026: "the account or the stream may have no more consumers: raise the limit (max_consumers); a materializer has one for each partition",
	10027: "the account may have no more streams: raise its limit (shapebus check says how many a source needs)",
	10047: "the server or the account cannot reserve what a stream may grow to, or has no file storage at all: give ingest a smaller --change-log-max-bytes, or more file storage to JetStream (max_file_store) and the account (max_file)",
	10074: "a single server keeps one copy: start with --replicas 1, or run a cluster",
	10113: "the account wants every stream to have a size limit, which buckets cannot have: lift that rule (max_bytes_required) for this account",
}

// makingCures are those of errors that waiting does cure when a message is stored, and does not when a stream is made.
var makingCures = map[jetstream.ErrorCode]string{
	10002: "the account may not have what the stream reserves: give ingest a smaller --change-log-max-bytes, or raise the account's storage",
	10023: "no server has what the stream reserves: give ingest a smaller --change-log-max-bytes, or more storage to JetStream (max_file_store)",
	10028: "the account keeps streams in memory only, and Shapebus' are on disk: give it file storage (max_file)",
	10120: "the account has no limits for streams with so many copies: give --replicas a number that it has a tier for, or give it that tier",
	10122: "the account allows no stream of that size: give ingest a smaller --change-log-max-bytes, and consumers no larger --shape-log-max-bytes than that (disk_max_stream_bytes)",
}

// permanent finds an error's cure; nil if it has none.
func permanent(err error) error { return cured(err, cures) }

// cured adds the cure to an error that has one; nil for others.
func cured(err error, by map[jetstream.ErrorCode]string) error {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		if cure, ok := by[api.ErrorCode]; ok {
			return &ConfigurationError{Err: err, Cure: cure}
		}
	}
	return nil
}

// making explains the error of making a stream or a bucket.
func making(err error) error {
	if e := cured(err, makingCures); e != nil {
		return e
	}
	return Explain(err)
}
