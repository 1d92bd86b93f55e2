package natstest

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// NodeOptions say which server of a cluster to run.
type NodeOptions struct {
	Name         string // another one for each
	Dir          string // of its store
	Port         int    // for clients, on loopback as all of it
	RoutePort    int    // for the other servers
	Routes       []int  // route ports of all servers of the cluster; one that is alone has none
	SyncInterval time.Duration
}

// RunNode runs a server with JetStream until done is closed. It is for a process of its own: what the server calls fatal
// ends the process.
func RunNode(o NodeOptions, done <-chan struct{}) error {
	opts := &server.Options{
		ServerName: o.Name, Host: "127.0.0.1", Port: o.Port, JetStream: true, StoreDir: o.Dir, SyncInterval: o.SyncInterval,
		NoSigs: true, MaxPending: 256 << 20, StreamMaxBufferedSize: 256 << 20,
	}
	if len(o.Routes) > 0 {
		opts.Cluster = server.ClusterOpts{Name: "shapebus", Host: "127.0.0.1", Port: o.RoutePort}
		for _, port := range o.Routes {
			opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)})
		}
	}
	opts.JetStreamLimits.DefaultMaxConsumers = -1 // else 1000 a stream
	srv, err := server.NewServer(opts)
	if err != nil {
		return err
	}
	srv.ConfigureLogger()
	srv.Start()
	if !srv.ReadyForConnections(time.Minute) {
		return errors.New("the server was not ready after a minute")
	}
	<-done
	srv.Shutdown()
	srv.WaitForShutdown()
	return nil
}
