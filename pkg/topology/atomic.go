package topology

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Oldest NATS server that works: the first with atomic batches. An older one ignores that a stream
// is to take them, without a word.
const (
	MinServerMajor = 2
	MinServerMinor = 12
)

// ErrNoAtomicBatches says that a stream does not take atomic batches. Without them a writer cannot
// keep out what the writer before it still has on its way.
var ErrNoAtomicBatches = errors.New("atomic batches are needed, without which a late writer's messages could come in behind its successor's")

// ServerVersion reads a NATS server's version; ok is false if it is not of the usual form.
func ServerVersion(version string) (major, minor int, ok bool) {
	_, err := fmt.Sscanf(version, "%d.%d", &major, &minor)
	return major, minor, err == nil
}

// OldServer reports whether a NATS server of that version has no atomic batches. A version that
// cannot be read is not held against it.
func OldServer(version string) bool {
	major, minor, ok := ServerVersion(version)
	return ok && (major < MinServerMajor || major == MinServerMajor && minor < MinServerMinor)
}

// CheckAtomic refuses a stream that takes no atomic batches: it was made on an older server, or
// without us.
func CheckAtomic(nc *nats.Conn, cfg jetstream.StreamConfig) error {
	if cfg.AllowAtomicPublish {
		return nil
	}
	return fmt.Errorf("stream %s: %w; %s", cfg.Name, ErrNoAtomicBatches, needed(nc))
}

// checkServer refuses a server before anything is made on it.
func checkServer(nc *nats.Conn) error {
	if OldServer(nc.ConnectedServerVersion()) {
		return fmt.Errorf("%w; %s", ErrNoAtomicBatches, needed(nc))
	}
	return nil
}

func needed(nc *nats.Conn) string {
	return fmt.Sprintf("that takes NATS %d.%d or later on every server of the cluster, and %s runs %s",
		MinServerMajor, MinServerMinor, nc.ConnectedServerName(), nc.ConnectedServerVersion())
}
