// Command sqlite copies a shape into a table of SQLite and keeps it up to date. Each transaction
// of the shape is one of SQLite, which holds its position too: kill it at any point, start it again, and
// the copy goes on with nothing lost and nothing doubled.
//
//	shapebus dev --database-url postgres://… &          # or a deployed Shapebus
//	go run ./examples/sqlite -table public.tasks -where "done = false" -file tasks.db
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"log"
	"os"
	"os/signal"

	"github.com/nats-io/nats.go"
	_ "modernc.org/sqlite" // the driver

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

// run copies one incarnation of the shape after another, until ctx ends.
func run(ctx context.Context) error {
	url := flag.String("nats", nats.DefaultURL, "NATS server")
	source := flag.String("source", "main", "name of the source")
	table := flag.String("table", "", "table to copy, such as public.tasks; it needs a primary key")
	where := flag.String("where", "", "SQL condition; none copies every row")
	file := flag.String("file", "copy.db", "SQLite database; the copy is its table \"copy\"")
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
	db, err := sql.Open("sqlite", *file+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)")
	if err != nil {
		return err
	}
	defer db.Close()
	def := client.Definition{Table: *table, Where: *where}
	for startOver := false; ; {
		err := follow(ctx, c, def, db, startOver)
		if ctx.Err() != nil {
			return nil // stopped as asked
		}
		if _, ended := errors.AsType[*client.MustRefetchError](err); !ended {
			return err
		}
		log.Printf("%v; starting over", err)
		startOver = true
	}
}

// follow copies one incarnation of the shape until something ends it.
func follow(ctx context.Context, c *client.Client, def client.Definition, db *sql.DB, startOver bool) error {
	shape, err := c.Create(ctx, def)
	if err != nil {
		return err
	}
	to, from, err := open(ctx, db, shape)
	if err != nil {
		return err
	}
	if startOver {
		from = client.Beginning() // the snapshot replaces the rows in one transaction; until then the old ones stay
	}
	log.Printf("shape %s from %s", shape.Handle(), from)
	for tx, err := range shape.Subscribe(from, client.Options{}).Transactions(ctx) {
		if err != nil {
			return err
		}
		if err := to.apply(ctx, tx); err != nil && !errors.Is(err, client.ErrAborted) {
			return err
		}
	}
	return nil
}
