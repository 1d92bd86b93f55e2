package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
)

// With nodeEnv in its environment a program is a server of a cluster: name, directory, port, route port, and the route
// ports of all.
const nodeEnv = "PROC_NATS_NODE"

// Node is one NATS server of a Cluster, a process of its own, always on one port and one directory.
type Node struct {
	Name string
	Proc *Process // nil before Start

	dir             string
	port, routePort int
	cluster         *Cluster
}

// Cluster is NATS servers in processes of their own, which keep what they stored when they are killed and started again. A
// cluster of one is a single server.
type Cluster struct {
	Nodes []*Node

	launch func(Options) (*Process, error)
}

// NewCluster finds ports for n servers that keep their files in dir. launch starts a process: Start, or what also sees to
// its end. The program itself has to be one that calls ServeNATS first.
func NewCluster(ctx context.Context, dir string, n int, launch func(Options) (*Process, error)) (*Cluster, error) {
	c := &Cluster{launch: launch}
	for i := range n {
		node := &Node{Name: fmt.Sprintf("nats-%d", i+1), cluster: c}
		node.dir = filepath.Join(dir, node.Name)
		for _, port := range []*int{&node.port, &node.routePort} {
			var err error
			if *port, err = natstest.FreePort(ctx); err != nil {
				return nil, err
			}
		}
		c.Nodes = append(c.Nodes, node)
	}
	return c, nil
}

// URL is the addresses of all servers.
func (c *Cluster) URL() string {
	urls := make([]string, len(c.Nodes))
	for i, n := range c.Nodes {
		urls[i] = fmt.Sprintf("nats://127.0.0.1:%d", n.port)
	}
	return strings.Join(urls, ",")
}

// Start starts all servers; Ready tells when they work.
func (c *Cluster) Start() error {
	for _, n := range c.Nodes {
		if err := n.Start(); err != nil {
			return err
		}
	}
	return nil
}

// Start starts the server, on what the process before it left.
func (n *Node) Start() error {
	if path := NATSServer(); path != "" {
		conf := natsConfig{name: n.Name, dir: n.dir, port: n.port, routePort: n.routePort, syncInterval: "1s"}
		if len(n.cluster.Nodes) > 1 {
			for _, other := range n.cluster.Nodes {
				conf.routes = append(conf.routes, other.routePort)
			}
		}
		args, err := conf.write()
		if err != nil {
			return err
		}
		n.Proc, err = n.cluster.launch(Options{Name: n.Name, Path: path, Args: args})
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	fields := []string{n.Name, n.dir, strconv.Itoa(n.port), strconv.Itoa(n.routePort)}
	if len(n.cluster.Nodes) > 1 {
		for _, other := range n.cluster.Nodes {
			fields = append(fields, strconv.Itoa(other.routePort))
		}
	}
	n.Proc, err = n.cluster.launch(Options{Name: n.Name, Path: self, Env: Environment(nodeEnv + "=" + strings.Join(fields, "|"))})
	return err
}

// Kill ends the server as a crash does.
func (n *Node) Kill() error { return n.Proc.End(syscall.SIGKILL, Patience) }

// Ready returns nil if JetStream has a leader and all servers follow it.
func (c *Cluster) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyAnswer) // without a leader nobody answers
	defer cancel()
	for _, n := range c.Nodes {
		if n.Proc.Gone() {
			return fmt.Errorf("%s has ended: %s", n.Name, n.Proc.Log.Tail())
		}
		nc, err := nats.Connect(fmt.Sprintf("nats://127.0.0.1:%d", n.port))
		if err != nil {
			return err
		}
		js, err := jetstream.New(nc)
		if err == nil {
			_, err = js.AccountInfo(ctx)
		}
		if err == nil && len(c.Nodes) > 1 && nc.ConnectedClusterName() == "" {
			err = errors.New("it is in no cluster")
		}
		nc.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	return nil
}

// readyAnswer is how long Ready waits for an answer.
const readyAnswer = 2 * time.Second

// Leader is the server that leads a stream, and whether all copies of it are up to date.
func (c *Cluster) Leader(ctx context.Context, js jetstream.JetStream, stream string) (_ *Node, current bool, err error) {
	st, err := js.Stream(ctx, stream)
	if err != nil {
		return nil, false, err
	}
	info := st.CachedInfo().Cluster
	if info == nil {
		return nil, false, fmt.Errorf("stream %s is in no cluster", stream)
	}
	current = len(info.Replicas) == len(c.Nodes)-1
	for _, r := range info.Replicas {
		current = current && r.Current && !r.Offline
	}
	for _, n := range c.Nodes {
		if n.Name == info.Leader {
			return n, current, nil
		}
	}
	return nil, false, fmt.Errorf("stream %s has no leader", stream)
}

// serveNode is the process of a server of a cluster.
func serveNode(env string) error {
	fields := strings.Split(env, "|")
	const fixed = 4
	if len(fields) < fixed {
		return fmt.Errorf("%s=%q", nodeEnv, env)
	}
	ports := make([]int, 0, len(fields))
	for _, f := range fields[2:] {
		port, err := strconv.Atoi(f)
		if err != nil {
			return err
		}
		ports = append(ports, port)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return natstest.RunNode(natstest.NodeOptions{
		Name: fields[0], Dir: fields[1], Port: ports[0], RoutePort: ports[1], Routes: ports[2:], SyncInterval: time.Second,
	}, ctx.Done())
}
