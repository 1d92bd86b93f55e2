// Command together holds two tables in memory, one of which refers to the other, and proves at
// every look that no row refers to one that is not there: both are shown as of one moment.
//
//	shapebus dev --database-url postgres://… &          # or a deployed Shapebus
//	go run ./examples/together -parents projects -children tasks -reference project_id
//
// It ends with an error at the first look at which a reference leads nowhere.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/pkg/client"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// The shapes of the group, in the order of their definitions.
const (
	parents = iota
	children
)

func run(ctx context.Context) error {
	url := flag.String("nats", nats.DefaultURL, "NATS server")
	source := flag.String("source", "main", "name of the source")
	parent := flag.String("parents", "", "table that is referred to by its primary key, of one column")
	child := flag.String("children", "", "table that refers to it")
	reference := flag.String("reference", "", "column of the children that does")
	flag.Parse()

	nc, err := nats.Connect(*url, nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	defer nc.Close()
	c, err := client.New(nc, *source)
	if err != nil {
		return err
	}
	group, err := c.WatchGroup(ctx, client.Options{}, client.Definition{Table: *parent}, client.Definition{Table: *child})
	if err != nil {
		return err
	}
	defer group.Close()
	for {
		changed := group.Changed()
		err := group.Look(func(l client.Look) error { return check(l, *reference) })
		if err != nil && !errors.Is(err, client.ErrNotReady) {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil // stopped as asked
		}
	}
}

// check looks up the parent of each child.
func check(l client.Look, reference string) error {
	for _, row := range l.Rows(children) {
		id, there := row.Text(reference)
		if !there {
			continue // NULL refers to nothing
		}
		if _, err := l.Get(parents, id); err != nil {
			return fmt.Errorf("at %s a row of the children refers to %s: %w", l.LSN, id, err)
		}
	}
	fmt.Printf("at %s: %d parents, %d children\n", l.LSN, l.Len(parents), l.Len(children))
	return nil
}
