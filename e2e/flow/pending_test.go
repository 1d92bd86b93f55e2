package flow

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
)

// leastPending is the server's max_pending, what it holds for one connection, with which all services work and an app catches up
// with any number of shapes at once on a connection. docs/OPERATIONS.md says so.
const leastPending = "32MB"

// pendingEnv gives another one, to find the least.
const pendingEnv = "FLOW_MAX_PENDING"

// TestTheLeastMaxPendingIsEnough has a server that holds no more for a connection than is documented as the least, and much to
// read at once: all of it is read. With more asked for at once than the server holds, the connection is cut for ever. (It is cut now
// and then where an answer takes more than a request may, as then the next one is asked for: on a busy machine.)
func TestTheLeastMaxPendingIsEnough(t *testing.T) {
	t.Parallel()
	least := leastPending
	if text := os.Getenv(pendingEnv); text != "" {
		least = text
	}
	server := natstest.StartConfigured(t, "max_pending: "+least+", jetstream {}")
	var mu sync.Mutex
	var cut []string
	s := stack.Reaching(t, projectSchema, func(opts ...nats.Option) (*nats.Conn, error) {
		return server.Connect(append(slices.Clip(opts), nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				cut = append(cut, err.Error())
			}
		}))...)
	})
	s.StartIngest()
	stopConsumer := s.StartConsumer()
	stopMaterializer := s.StartMaterializer()
	shapes := []*client.Shape{
		s.Create(client.Definition{Table: "tasks"}),
		s.Create(client.Definition{Table: "tasks", Where: "id > 0"}),
		s.Create(client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active)"}),
		s.Create(client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active AND owner >= 0)"}),
	}
	s.Verify(shapes...)
	// They come back to a backlog of the change log, and to logs that have grown.
	stopMaterializer()
	stopConsumer()
	for n := range 4 {
		s.Exec(fmt.Sprintf("INSERT INTO tasks SELECT i, 2, true, repeat(md5(i::text), 64) FROM generate_series(%d, %d) i", 10000*(n+1), 10000*(n+1)+2500))
		s.Exec("UPDATE projects SET active = NOT active WHERE id > 2")
	}
	s.StartConsumer()
	s.StartMaterializer()
	s.Settle(shapes...)
	ctx, cancel := context.WithTimeout(t.Context(), 4*stack.Timeout)
	defer cancel()
	var group errgroup.Group
	for _, sh := range slices.Concat(shapes, shapes, shapes) {
		to := sh.Info().Applied
		group.Go(func() error {
			for e, err := range sh.Subscribe(client.Beginning(), client.Options{}).Events(ctx) {
				if err != nil {
					return err
				}
				if _, ok := e.(client.CaughtUp); ok {
					return nil
				}
			}
			return fmt.Errorf("the subscription ended before %s", to)
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	t.Logf("with max_pending %s the server cut %d connections: %q", least, len(cut), cut)
}
