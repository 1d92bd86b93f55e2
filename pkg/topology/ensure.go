package topology

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ChangeLogConfig says how the change log is kept.
type ChangeLogConfig struct {
	Replicas int           // copies in a cluster; default 1
	MaxBytes int64         // size at which the oldest fragments are discarded; 0 = 8 GiB, -1 = unlimited
	MaxAge   time.Duration // age at which fragments are discarded; 0 = never
	// HoldPostgres makes a full change log refuse new fragments, so that
	// Postgres keeps its WAL, rather than discard old ones, which ends the
	// shapes that have not passed them.
	HoldPostgres bool
}

// ShapeLogConfig says how shape logs are kept.
type ShapeLogConfig struct {
	Replicas int   // copies in a cluster; default 1
	MaxBytes int64 // size at which a partition refuses to grow; 0 or -1 = unlimited
}

const defaultChangeBytes = 8 << 30

// MemberTTL is how long a process counts as there without saying so again. What it holds is free then.
const MemberTTL = 3 * time.Second

// duplicates is the window for message ids. None are used, and a longer one
// makes the server read it back at every start.
const duplicates = time.Second

// Metadata of the change log's stream.
const (
	historyKey = "shapebus-history"
	reasonKey  = "shapebus-history-reason"
)

// History is which history of the database a change log tells. LSNs and
// transaction ids mean something only within one: a database that was restored, or
// whose standby took over without the last transactions, gives them to others.
type History struct {
	ID     string // "" if an older version made the stream: not known
	Reason string // why it is not the history before; "" if there was none
}

// HistoryOf returns what a change log's stream says of its history.
func HistoryOf(cfg jetstream.StreamConfig) History {
	return History{ID: cfg.Metadata[historyKey], Reason: cfg.Metadata[reasonKey]}
}

// HistoryNow is the history that a source's change log tells; its ID is "" while there is no change log.
func (s Source) HistoryNow(ctx context.Context, js jetstream.JetStream) (History, error) {
	st, err := js.Stream(ctx, s.ChangeStream())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return History{}, nil
	}
	if err != nil {
		return History{}, Explain(fmt.Errorf("look at stream %s: %w", s.ChangeStream(), err))
	}
	return HistoryOf(st.CachedInfo().Config), nil
}

// Foreign reports whether two ids are those of different histories. One that is not known may be the same.
func Foreign(a, b string) bool { return a != "" && b != "" && a != b }

// EnsureRelations creates the bucket of relations, where ingest keeps its
// record, too.
func (s Source) EnsureRelations(ctx context.Context, js jetstream.JetStream, replicas int) error {
	return bucket(ctx, js, s.RelationBucket(), "table schemas", replicas, 0)
}

// EnsureChangeLog creates or updates the change log's stream and the bucket
// of relations. Ingest calls it; it is safe to repeat.
func (s Source) EnsureChangeLog(ctx context.Context, js jetstream.JetStream, h History, cfg ChangeLogConfig) (jetstream.Stream, error) {
	discard := jetstream.DiscardOld
	if cfg.HoldPostgres {
		discard = jetstream.DiscardNew
	}
	maxBytes := cfg.MaxBytes
	if maxBytes == 0 {
		maxBytes = defaultChangeBytes
	}
	st, err := ensureStream(ctx, js, jetstream.StreamConfig{
		Name:        s.ChangeStream(),
		Description: "Shapebus change log: fragments of committed transactions, one subject per table",
		Subjects:    []string{"sb." + string(s) + ".change.>"},
		Replicas:    max(cfg.Replicas, 1),
		MaxBytes:    maxBytes,
		MaxAge:      cfg.MaxAge,
		Discard:     discard,
		Duplicates:  duplicates,
		AllowDirect: true,
		Metadata:    h.metadata(),
	})
	if err != nil {
		return nil, making(fmt.Errorf("create stream %s for at most %d bytes: %w", s.ChangeStream(), maxBytes, err))
	}
	if err := s.EnsureRelations(ctx, js, cfg.Replicas); err != nil {
		return nil, err
	}
	return st, nil
}

func (h History) metadata() map[string]string {
	m := map[string]string{}
	if h.ID != "" {
		m[historyKey] = h.ID
	}
	if h.Reason != "" {
		m[reasonKey] = h.Reason
	}
	return m
}

// EnsureRegistry creates the buckets of shapes and leases.
func (s Source) EnsureRegistry(ctx context.Context, js jetstream.JetStream, replicas int) error {
	if err := bucket(ctx, js, s.ShapeBucket(), "shapes", replicas, 0); err != nil {
		return err
	}
	return bucket(ctx, js, s.LeaseBucket(), "partition ownership", replicas, MemberTTL)
}

// MaxPartitions is how many partitions a source has at most.
const MaxPartitions = 256

// EnsureShapeLogs creates or updates the streams of every partition.
func (s Source) EnsureShapeLogs(ctx context.Context, js jetstream.JetStream, partitions int, cfg ShapeLogConfig) error {
	for p := range partitions {
		if err := s.EnsureShapeLog(ctx, js, p, cfg); err != nil {
			return err
		}
	}
	return nil
}

// EnsureShapeLog creates or updates the stream of a partition.
func (s Source) EnsureShapeLog(ctx context.Context, js jetstream.JetStream, p int, cfg ShapeLogConfig) error {
	maxBytes := cfg.MaxBytes
	if maxBytes == 0 {
		maxBytes = -1
	}
	_, err := ensureStream(ctx, js, jetstream.StreamConfig{
		Name:        s.ShapeStream(p),
		Description: "Shapebus shape logs and segments of one partition",
		Subjects:    []string{s.partition(p) + ">"},
		Replicas:    max(cfg.Replicas, 1),
		MaxBytes:    maxBytes,
		Discard:     jetstream.DiscardNew, // a log never loses its beginning silently
		Duplicates:  duplicates,
		AllowDirect: true,
		AllowRollup: true, // checkpoints replace one another
		// Readers go live on core NATS: a JetStream consumer each would
		// cost the server 40 KB and most of its publish rate.
		RePublish: &jetstream.RePublish{
			Source:      s.LogSubjects(p),
			Destination: fmt.Sprintf("sb.%s.live.%d.{{wildcard(1)}}", s, p),
		},
	})
	if err != nil {
		return making(fmt.Errorf("create stream %s: %w", s.ShapeStream(p), err))
	}
	return nil
}

// ShapeLogConfigOf reads how the stream of a partition is kept.
func (s Source) ShapeLogConfigOf(ctx context.Context, js jetstream.JetStream, p int) (ShapeLogConfig, error) {
	st, err := js.Stream(ctx, s.ShapeStream(p))
	if err != nil {
		return ShapeLogConfig{}, Explain(fmt.Errorf("look at stream %s: %w", s.ShapeStream(p), err))
	}
	cfg := st.CachedInfo().Config
	return ShapeLogConfig{Replicas: cfg.Replicas, MaxBytes: cfg.MaxBytes}, nil
}

// EnsureMembers creates the bucket of processes that share work.
func (s Source) EnsureMembers(ctx context.Context, js jetstream.JetStream, replicas int) error {
	return bucket(ctx, js, s.MemberBucket(), "processes that are there", replicas, MemberTTL)
}

// EnsureVerdicts creates or updates the stream of verdicts of one partition.
func (s Source) EnsureVerdicts(ctx context.Context, js jetstream.JetStream, partition, replicas int) error {
	_, err := ensureStream(ctx, js, jetstream.StreamConfig{
		Name:        s.VerdictStream(partition),
		Description: "Shapebus verdicts: what commits of inner shapes changed in the sets of values they select",
		Subjects:    []string{s.verdicts(partition) + ">"},
		Replicas:    max(replicas, 1),
		MaxBytes:    -1,
		Discard:     jetstream.DiscardNew,
		Duplicates:  duplicates,
		AllowDirect: true,
	})
	if err != nil {
		return making(fmt.Errorf("create stream %s: %w", s.VerdictStream(partition), err))
	}
	return nil
}

// ensureTime is how long a stream or a bucket may take to be made. A cluster without a leader does not answer, nor says when
// it has one: asking again does.
const ensureTime = 3 * time.Second

// ensureStream creates or updates a stream that has one writer at a time.
func ensureStream(ctx context.Context, js jetstream.JetStream, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	if err := checkServer(js.Conn()); err != nil {
		return nil, err
	}
	cfg.AllowAtomicPublish = true // a new writer keeps the one before out with an atomic batch
	ctx, cancel := context.WithTimeout(ctx, ensureTime)
	defer cancel()
	st, err := js.CreateOrUpdateStream(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return st, CheckAtomic(js.Conn(), st.CachedInfo().Config)
}

func bucket(ctx context.Context, js jetstream.JetStream, name, what string, replicas int, ttl time.Duration) error {
	if err := checkServer(js.Conn()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, ensureTime)
	defer cancel()
	_, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket:         name,
		Description:    "Shapebus " + what,
		Replicas:       max(replicas, 1),
		LimitMarkerTTL: ttl,
	})
	if err != nil {
		return making(fmt.Errorf("create bucket %s: %w", name, err))
	}
	return nil
}

// Explain adds to an error of NATS what its reader can do about it. It
// returns others as they are.
func Explain(err error) error {
	var api *jetstream.APIError
	if Permanent(err) != nil {
		return err
	}
	if refusal := permanent(err); refusal != nil {
		return refusal
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%w: the NATS server has no JetStream for this user; start it with --jetstream and a store directory, or enable JetStream for the account; behind a leaf node look at its link, and at --nats-js-api-prefix", err)
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrPermissionViolation):
		return fmt.Errorf("%w: give this NATS user the right to use JetStream and the subjects sb.> and shapebus.>", err)
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return fmt.Errorf("%w: no stream takes this message; it was deleted, or its server is starting or going down", err)
	case errors.Is(err, jetstream.ErrAsyncPublishTimeout):
		return fmt.Errorf("%w: JetStream does not answer; if its server's log tells of a full disk, make room and start the server again, nothing stored is lost and work goes on by itself then", err)
	case errors.As(err, &api) && slices.Contains(outOfSpace, api.ErrorCode):
		return fmt.Errorf("%w: JetStream is out of space; free some or raise its limit, nothing stored is lost and work goes on by itself then", err)
	}
	return err
}

// outOfSpace are codes of JetStream errors that nats.go has no names for. Only
// the first comes from a stream's own limit.
var outOfSpace = []jetstream.ErrorCode{
	10077, // the stream cannot store a message
	10023, // the server is full
	10002, // the account is full
}
