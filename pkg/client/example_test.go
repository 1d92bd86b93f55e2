package client_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/pkg/change"
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
	shape, err := c.Create(ctx, client.Definition{Table: "public.tasks", Where: "done = $1", Params: []string{"false"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for event, err := range shape.Subscribe(ctx, client.Beginning(), client.Options{}).Events() {
		if err != nil {
			fmt.Println(err)
			return
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
	view, err := c.Watch(ctx, client.Definition{Table: "public.tasks", Where: "done = false"}, client.Options{})
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

// Go on where an app stopped: handle and offset were stored with the effects
// of the transaction they belong to.
func ExampleShape_Subscribe() { //nolint:testableexamples // it needs a running Shapebus
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
		fmt.Println(err)
		return
	}
	for event, err := range shape.Subscribe(ctx, client.After(offset), client.Options{}).Events() {
		if _, ended := errors.AsType[*client.MustRefetchError](err); ended {
			return // the same
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		if commit, ok := event.(client.Commit); ok {
			fmt.Println("store with the effects:", handle, commit.Offset)
		}
	}
}
