package main

import (
	"context"
	"os"

	"github.com/shapebus/shapebus/internal/demo"
)

type demoCmd struct {
	Rows            int    `env:"-" default:"1000000" help:"Rows of the large transaction (default ${default})."`
	Seconds         int    `env:"-" default:"10" help:"Seconds of ordinary traffic before it (default ${default})."`
	Once            bool   `env:"-" help:"End after the summary, with exit code 1 if a check did not hold. Default: go on with a little traffic until Ctrl-C."`
	DatabaseURL     string `name:"database-url" env:"SHAPEBUS_DEMO_DATABASE_URL" help:"Postgres to use instead of a throw-away one. The demo works in a schema shapebus_demo of its own there, and drops it and its replication slot at the end. Default none."`
	DatabaseURLFile string `name:"database-url-file" env:"-" type:"path" help:"File that holds --database-url, for one with a password in it. Default none."`

	Fault    demo.Fault `env:"-" hidden:"" enum:",lost-change,stray-row" default:"" help:"Something to go wrong, for tests that the checks find it. Default nothing."`
	NATSOnly bool       `name:"nats-only" env:"-" hidden:"" help:"Be the demo's NATS: print its URL, end when stdin does. Default off."`
}

// Run shows the whole system at work, checks it, and takes everything down again.
func (c *demoCmd) Run(ctx context.Context, out *console) error {
	if c.NATSOnly {
		return demo.ServeNATS(ctx, os.Stdin, out.stdout, out.log)
	}
	if c.Rows < 1 || c.Seconds < 0 {
		return &usageError{text: "--rows must be at least 1, --seconds at least 0"}
	}
	url := c.DatabaseURL
	if c.DatabaseURLFile != "" {
		var err error
		if url, err = readSecret("--database-url-file", c.DatabaseURLFile); err != nil {
			return err
		}
	}
	return demo.Run(ctx, demo.Config{
		Rows: c.Rows, Seconds: c.Seconds, Once: c.Once, DatabaseURL: url, Fault: c.Fault,
		Out: out.stdout, Terminal: out.stdoutTTY && os.Getenv("TERM") != "dumb", Color: out.color,
	})
}
