package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// natsServerEnv names a nats-server to run in place of the one that is built in: another version of it
// (tools/nats-matrix.sh).
const natsServerEnv = "NATS_SERVER"

// NATSServer is the nats-server that tests run as a process; "" for the one that is built in.
func NATSServer() string { return os.Getenv(natsServerEnv) }

// natsConfig is what a nats-server is told that stands in for the one built in: the same as that has.
type natsConfig struct {
	name         string
	dir          string
	port         int
	syncInterval string
	maxStore     int64 // bytes, 0 for what the disk has
	maxPayload   int   // bytes, 0 for the usual one
	routePort    int
	routes       []int // of a cluster, else none
}

// write writes the configuration beside the store and returns the arguments of the server.
func (c natsConfig) write() ([]string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "server_name: %q\nlisten: \"127.0.0.1:%d\"\nmax_pending: 256MB\n", c.name, c.port)
	if c.maxPayload > 0 {
		fmt.Fprintf(&b, "max_payload: %d\n", c.maxPayload)
	}
	fmt.Fprintf(&b, "jetstream {\n  store_dir: %q\n  sync_interval: %s\n  max_buffered_size: 256MB\n", c.dir, c.syncInterval)
	if c.maxStore > 0 {
		fmt.Fprintf(&b, "  max_file_store: %d\n", c.maxStore)
	}
	b.WriteString("}\n")
	if len(c.routes) > 0 {
		fmt.Fprintf(&b, "cluster {\n  name: shapebus\n  listen: \"127.0.0.1:%d\"\n  routes: [", c.routePort)
		for _, port := range c.routes {
			fmt.Fprintf(&b, " \"nats://127.0.0.1:%d\",", port)
		}
		b.WriteString(" ]\n}\n")
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return nil, err
	}
	file := filepath.Join(c.dir, "nats.conf")
	return []string{"-c", file}, os.WriteFile(file, []byte(b.String()), 0o600)
}
