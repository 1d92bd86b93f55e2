package client_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/pkg/client"
)

// Follow the open tasks, the ones of now first. See examples/tail for a
// program that keeps its position.
func Example() { //nolint:testableexamples // it needs a running Shapebus
	ctx := context.Background()
	nc, err := nats.Connect(nats.DefaultURL, nats.MaxReconnects(-1))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer nc.Close()
	c, err := client.New(nc, "main")
	if err != nil {
		fmt.Println(err)
		return
	}
	shape, err := c.Create(ctx, client.Definition{Table: "public.tasks", Where: "done = $1", Params: []any{"false"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for event, err := range shape.Subscribe(client.Beginning(), client.Options{}).Events(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		switch e := event.(type) {
		case client.Change:
			title, _ := e.Row.Text("title")
			fmt.Println(e.Kind, title)
		case client.Commit:
			fmt.Println("committed; keep", e.Position())
		}
	}
}

// Hold a shape's rows in memory and look at them whenever they change.
func ExampleClient_Watch() { //nolint:testableexamples // it needs a running Shapebus
	ctx := context.Background()
	nc, err := nats.Connect(nats.DefaultURL, nats.MaxReconnects(-1))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer nc.Close()
	c, err := client.New(nc, "main")
	if err != nil {
		fmt.Println(err)
		return
	}
	view, err := c.Watch(ctx, client.Definition{Table: "public.tasks", Where: "done = false"}, client.ViewOptions{})
	if err != nil {
		fmt.Println(err)
		return
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

// Go on where an app stopped. The position was stored in one transaction with the effects of what
// came before it. If the shape has another life by now, its handle is another one, and Subscribe
// says so instead of going on in a log in which the offset means nothing.
func ExampleShape_Subscribe() { //nolint:testableexamples // it needs a running Shapebus
	var (
		ctx  context.Context
		c    *client.Client
		def  client.Definition
		kept string // "beginning" at first
	)
	from, err := client.ParsePosition(kept)
	if err != nil {
		fmt.Println(err)
		return
	}
	shape, err := c.Create(ctx, def)
	if err != nil {
		fmt.Println(err)
		return
	}
	for event, err := range shape.Subscribe(from, client.Options{}).Events(ctx) {
		if _, over := errors.AsType[*client.MustRefetchError](err); over {
			return // drop what was kept of the shape, and start over from the beginning
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		if commit, ok := event.(client.Commit); ok {
			fmt.Println("store with the effects:", commit.Position())
		}
	}
}
