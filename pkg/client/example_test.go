package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
)

// Follow the open tasks, the ones of now first. See examples/tail for a
// program that keeps its position.
func Example() {
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
	shape, err := c.Create(ctx, client.Definition{Table: "public.tasks", Where: "done = $1", Params: []string{"false"}})
	if err != nil {
		log.Fatal(err)
	}
	for event, err := range shape.Subscribe(ctx, client.Beginning(), client.Options{}).Events() {
		if err != nil {
			log.Fatal(err)
		}
		switch e := event.(type) {
		case client.Change:
			title, _ := e.Row.Text("title")
			fmt.Println(e.Kind, title)
		case client.Commit:
			fmt.Println("committed; keep", shape.Handle(), e.Offset)
		}
	}
}

// Hold a shape's rows in memory and look at them whenever they change.
func ExampleClient_Watch() {
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
	view, err := c.Watch(ctx, client.Definition{Table: "public.tasks", Where: "done = false"}, client.Options{})
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

// Go on where an app stopped: handle and offset were stored with the effects
// of the transaction they belong to.
func ExampleShape_Subscribe() {
	var (
		ctx    context.Context
		c      *client.Client
		handle string
		offset change.Offset
	)
	shape, err := c.Open(ctx, handle)
	switch {
	case errors.Is(err, client.ErrNotFound):
		return // that life of the shape is over: Create, then read from the Beginning
	case err != nil:
		log.Fatal(err)
	}
	for event, err := range shape.Subscribe(ctx, client.After(offset), client.Options{}).Events() {
		var refetch *client.MustRefetchError
		if errors.As(err, &refetch) {
			return // the same
		}
		if err != nil {
			log.Fatal(err)
		}
		if commit, ok := event.(client.Commit); ok {
			offset = commit.Offset
		}
	}
}
