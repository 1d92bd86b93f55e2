package client_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/pkg/client"
)

// Follow the open tasks, the ones of now first.
func Example() { //nolint:testableexamples // it needs a running Shapebus
	ctx := context.Background()
	nc, err := nats.Connect(nats.DefaultURL, nats.MaxReconnects(-1))
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()
	c, err := client.New(nc, "main")
	if err != nil {
		log.Fatal(err)
	}
	shape, err := c.Create(ctx, client.Definition{Table: "public.tasks", Where: "owner = $1 AND NOT done", Params: []any{42}})
	if err != nil {
		log.Fatal(err) // says what is wrong with the table, the clause or the privileges
	}
	for tx, err := range shape.Subscribe(client.Beginning(), client.Options{}).Transactions(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		for change := range tx.Changes() {
			fmt.Println(change.Kind, change.Row.Map())
		}
		if commit, err := tx.Commit(); err == nil {
			fmt.Println("committed; keep", commit.Position())
		}
	}
}

// Hold a shape's rows in memory and look at them whenever they change.
func ExampleClient_Watch() { //nolint:testableexamples // it needs a running Shapebus
	var c *client.Client
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // for the request
	defer cancel()
	view, err := c.Watch(ctx, client.Definition{Table: "public.tasks", Where: "NOT done"}, client.ViewOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer view.Close()
	for view.Err() == nil {
		changed := view.Changed()
		if s, err := view.Snapshot(); err == nil {
			fmt.Println(len(s.Rows), "open tasks at", s.LSN)
		}
		<-changed
	}
}

// Look up a row by its key.
func ExampleView_Get() { //nolint:testableexamples // it needs a running Shapebus
	var view *client.View
	row, err := view.Get(42)
	switch {
	case errors.Is(err, client.ErrNoRow):
		fmt.Println("no such task")
	case err != nil:
		fmt.Println(err) // the view is not ready yet, or has ended
	default:
		title, _ := row.Text("title")
		fmt.Println(title)
	}
}

// Look at two tables as of one moment: each task's project is there.
func ExampleClient_WatchGroup() { //nolint:testableexamples // it needs a running Shapebus
	var (
		ctx context.Context
		c   *client.Client
	)
	const projects, tasks = 0, 1
	group, err := c.WatchGroup(ctx, client.Options{}, client.Definition{Table: "projects"}, client.Definition{Table: "tasks"})
	if err != nil {
		log.Fatal(err)
	}
	defer group.Close()
	if err := group.WaitReady(ctx); err != nil {
		log.Fatal(err)
	}
	err = group.Look(func(l client.Look) error {
		for _, task := range l.Rows(tasks) {
			id, _ := task.Text("project_id")
			project, err := l.Get(projects, id)
			if err != nil {
				return err
			}
			fmt.Println(project.Map(), task.Map())
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
}

// Apply each transaction to a database of the app's own, in one transaction of that database, with the
// position in it: whatever is killed when, nothing is lost and nothing is doubled.
func ExampleSubscription_Transactions() { //nolint:testableexamples // it needs a running Shapebus
	var (
		ctx   context.Context
		db    *sql.DB
		shape *client.Shape
		apply func(*sql.Tx, client.Change) error
		from  client.Position // read from db; client.Beginning() at first
	)
	one := func(tx *client.Transaction) error {
		mine, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = mine.Rollback() }()
		if tx.Snapshot { // all rows come
			if _, err := mine.ExecContext(ctx, "DELETE FROM tasks"); err != nil {
				return err
			}
		}
		for change := range tx.Changes() {
			if err := apply(mine, change); err != nil {
				return err
			}
		}
		commit, err := tx.Commit()
		if err != nil {
			return err
		}
		if _, err := mine.ExecContext(ctx, "UPDATE state SET position = ?", commit.Position().String()); err != nil {
			return err
		}
		return mine.Commit()
	}
	for tx, err := range shape.Subscribe(from, client.Options{}).Transactions(ctx) {
		if _, over := errors.AsType[*client.MustRefetchError](err); over {
			return // create the shape again and read it from the Beginning
		}
		if err == nil {
			err = one(tx)
		}
		if err != nil && !errors.Is(err, client.ErrAborted) { // what was aborted comes again
			log.Fatal(err)
		}
	}
}

// Everything there is to know: the parts of transactions, and whether the app is up to date.
func ExampleSubscription_Events() { //nolint:testableexamples // it needs a running Shapebus
	var (
		ctx context.Context
		sub *client.Subscription
	)
	for event, err := range sub.Events(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		switch e := event.(type) {
		case client.Begin:
			fmt.Println("transaction", e.XID, "of", e.Time)
		case client.Change:
			fmt.Println(e.Kind, e.Row.Map())
		case client.Commit:
			fmt.Println("keep", e.Position())
		case client.Abort:
			fmt.Println("what came since Begin does not count")
		case client.CaughtUp:
			fmt.Println("up to date")
		case client.Stalled:
			fmt.Println("perhaps not up to date:", e.Err)
		}
	}
}

// Read rows into structs.
func ExampleRow_Scan() { //nolint:testableexamples // it needs a row
	var row client.Row
	type task struct {
		ID    int64
		Title *string // may be NULL
		Due   *time.Time
	}
	t, err := pgx.RowToStructByName[task](row)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(t.ID, t.Title, t.Due)

	var id int64
	if err := row.ScanColumn("id", &id); err != nil {
		log.Fatal(err)
	}
}
