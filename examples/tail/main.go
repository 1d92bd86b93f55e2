// Command tail prints the changes of one shape and survives its own restart:
// it keeps its position in a file and goes on from there. When
// the shape ends it starts over with the next one.
//
//	shapebus dev --database-url postgres://… &          # or a deployed Shapebus
//	go run ./examples/tail -table public.tasks -where "done = false"
//
// What it does with each transaction is print it. An app would write it to its
// own store instead, and the position with it in one transaction of that store:
// then every change arrives there exactly once.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"os/signal"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/pkg/client"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// run follows one incarnation of the shape after another, until ctx ends.
func run(ctx context.Context, out io.Writer) error {
	url := flag.String("nats", nats.DefaultURL, "NATS server")
	source := flag.String("source", "main", "name of the source")
	table := flag.String("table", "", "table to follow, such as public.tasks")
	where := flag.String("where", "", "SQL condition; none follows every row")
	state := flag.String("state", "tail.state", "file that keeps the position")
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
	def := client.Definition{Table: *table, Where: *where}
	for {
		err := tail(ctx, out, c, def, *state)
		if ctx.Err() != nil {
			return nil // stopped as asked
		}
		if _, ended := errors.AsType[*client.MustRefetchError](err); !ended {
			return err
		}
		log.Printf("%v; starting over", err)
		if err := os.Remove(*state); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
}

// tail follows one incarnation of the shape until something ends it.
func tail(ctx context.Context, out io.Writer, c *client.Client, def client.Definition, state string) error {
	shape, err := c.Create(ctx, def)
	if err != nil {
		return err
	}
	from, err := load(state)
	if err != nil {
		return err
	}
	log.Printf("shape %s from %s", shape.Handle(), from)
	for event, err := range shape.Subscribe(from, client.Options{}).Events(ctx) {
		if err != nil {
			return err
		}
		switch e := event.(type) {
		case client.Begin:
			fmt.Fprintf(out, "begin   %s\n", e.LSN)
		case client.Change:
			row, err := e.Row.MarshalJSON()
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "  %-8s %s\n", e.Kind, row)
		case client.Commit:
			fmt.Fprintf(out, "commit  %s, %d changes\n", e.Position(), e.Changes)
			if err := save(state, e.Position()); err != nil {
				return err
			}
		case client.Abort:
			fmt.Fprintln(out, "abort   what came since begin does not count")
		case client.Stalled:
			log.Printf("not up to date: %v; trying again", e.Err)
		case client.CaughtUp:
			log.Print("caught up; waiting for changes")
		}
	}
	return nil
}

// load returns the kept position, or the beginning if none is kept.
func load(file string) (client.Position, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return client.Beginning(), nil
	}
	if err != nil {
		return client.Position{}, err
	}
	return client.ParsePosition(strings.TrimSpace(string(data)))
}

// save replaces the file whole, so that a crash leaves the old or the new one.
func save(file string, p client.Position) error {
	next := file + ".next"
	if err := os.WriteFile(next, []byte(p.String()+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(next, file)
}
