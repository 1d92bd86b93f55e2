package hostile

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
)

// canarySchema is the table that a canary needs.
const canarySchema = `CREATE TABLE canary (id int PRIMARY KEY); `

// canary is a shape that gets a row every 100 ms, and a reader that waits for each of them.
type canary struct {
	mu      sync.Mutex
	longest time.Duration // from a row's commit to the reader
	rows    int
}

// canaryBeat is the time between two rows.
const canaryBeat = 100 * time.Millisecond

// canaryLimit is how long a row may take to its reader.
const canaryLimit = time.Second

// startCanary lets a canary run until the test ends or stop is called, which says what the longest way of a row was.
func startCanary(t *testing.T, s *stack.Stack) (c *canary, stop func()) {
	t.Helper()
	c = &canary{}
	sh := s.Create(client.Definition{Table: "canary"})
	conn := s.Connect()
	ctx, cancel := context.WithCancel(context.Background())
	var mu sync.Mutex
	written := map[string]time.Time{} // just before the row's commit, by id
	var both sync.WaitGroup
	both.Go(func() {
		tick := time.NewTicker(canaryBeat)
		defer tick.Stop()
		for i := 0; ctx.Err() == nil; i++ {
			mu.Lock()
			written[strconv.Itoa(i)] = time.Now()
			mu.Unlock()
			if _, err := conn.Exec(ctx, "INSERT INTO canary VALUES ($1)", i); err != nil {
				if ctx.Err() == nil {
					t.Errorf("canary: %v", err)
				}
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	both.Go(func() {
		for txn, err := range sh.Subscribe(client.Beginning(), client.Options{}).Transactions(ctx) {
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				t.Errorf("canary: %v", err)
				return
			}
			for ch := range txn.Changes() {
				id, _ := ch.Row.Text("id")
				mu.Lock()
				at, ok := written[id]
				delete(written, id)
				mu.Unlock()
				if ok {
					c.saw(time.Since(at))
				}
			}
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		both.Wait()
		for _, at := range written { // what has not come yet
			c.saw(time.Since(at))
		}
	})
	t.Cleanup(stop)
	s.Until("the canary sings", func() (bool, error) { return c.count() > 0, nil }, func() string { return "no row has come" })
	return c, stop
}

func (c *canary) saw(took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rows++
	c.longest = max(c.longest, took)
}

func (c *canary) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rows
}

// beat waits for the next row.
func (c *canary) beat(s *stack.Stack) {
	n := c.count()
	s.Until("the canary sings on", func() (bool, error) { return c.count() > n, nil }, func() string { return "silence" })
}

// check fails the test if a row has taken longer than canaryLimit, and starts afresh.
func (c *canary) check(t *testing.T, during string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.longest > canaryLimit {
		t.Errorf("%s: a row of another shape took %s to its reader", during, c.longest.Round(time.Millisecond))
	}
	c.longest = 0
}
