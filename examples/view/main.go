// Command view holds the rows of one shape in memory and survives its own restart without reading
// them all again: it keeps them in a file from time to time, goes on from there, and gets only
// what has changed since.
//
//	shapebus dev --database-url postgres://… &          # or a deployed Shapebus
//	go run ./examples/view -table public.tasks -where "done = false"
//
// An app would answer requests from the rows; this one prints how many there are whenever they change.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/signal"
	"time"

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

func run(ctx context.Context) error {
	url := flag.String("nats", nats.DefaultURL, "NATS server")
	source := flag.String("source", "main", "name of the source")
	table := flag.String("table", "", "table, such as public.tasks")
	where := flag.String("where", "", "SQL condition; none holds every row")
	file := flag.String("state", "view.state", "file that keeps the rows")
	every := flag.Duration("every", 10*time.Second, "how often they are kept")
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
	kept, err := load(*file)
	if err != nil {
		return err
	}
	view, err := c.Watch(ctx, client.Definition{Table: *table, Where: *where}, client.ViewOptions{From: kept})
	if err != nil {
		return err
	}
	defer view.Close()
	tick := time.NewTicker(*every)
	defer tick.Stop()
	var last client.Position // that is in the file
	for {
		changed := view.Changed()
		s, err := view.Snapshot()
		switch {
		case errors.Is(err, client.ErrNotReady):
		case err != nil:
			return err
		default:
			fmt.Printf("%d rows at %s\n", len(s.Rows), s.Position)
		}
		if err := view.Stalled(); err != nil {
			log.Printf("not up to date: %v; trying again", err)
		}
		for waiting := true; waiting; {
			select {
			case <-changed:
				waiting = false
			case <-tick.C:
				if s.Position == last || s.Position.IsBeginning() {
					continue
				}
				if err := save(*file, s); err != nil {
					return err
				}
				last = s.Position
				fmt.Printf("kept %s\n", last)
			case <-ctx.Done():
				return nil // stopped as asked
			}
		}
	}
}

// load returns the kept rows, nil if there are none, or none that can be used: then all are read.
func load(file string) (*client.Snapshot, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s, err := client.ReadSnapshot(f)
	if err != nil {
		log.Printf("%s: %v; reading all rows", file, err)
		return nil, nil
	}
	log.Printf("%d rows were kept at %s", len(s.Rows), s.Position)
	return s, nil
}

// save replaces the file whole, so that a crash leaves the old or the new one.
func save(file string, s client.Snapshot) error {
	next := file + ".next"
	f, err := os.Create(next)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	_, err = s.WriteTo(w)
	if err := errors.Join(err, w.Flush(), f.Close()); err != nil {
		return err
	}
	return os.Rename(next, file)
}
