package main

import (
	"os"
	"strconv"

	"github.com/alecthomas/kong"

	"github.com/shapebus/shapebus/services/consumer"
)

// cli is the command tree. Every flag without `env:"-"` can also be given as
// SHAPEBUS_<FLAG>, in capitals and with _ for -.
type cli struct {
	Log logFlags `embed:"" prefix:"log-"`

	Dev          devCmd          `cmd:"" help:"Run everything in this process, for development: NATS, every service, and Postgres if none is given."`
	Demo         demoCmd         `cmd:"" help:"Run the whole system on a throw-away Postgres, put a million-row transaction through it, and check what comes out."`
	Ingest       ingestCmd       `cmd:"" help:"Run the service that copies Postgres' changes into the change log."`
	Consumer     consumerCmd     `cmd:"" help:"Run the service that fills shape logs and answers the control plane."`
	Materializer materializerCmd `cmd:"" help:"Run the service that keeps the values that subqueries select."`
	Gateway      gatewayCmd      `cmd:"" help:"Run the service that serves shapes over HTTP."`
	Shape        shapeCmd        `cmd:"" help:"Create, list, show, delete and follow shapes."`
	Source       sourceCmd       `cmd:"" help:"Change a source as a whole: more partitions, a new beginning, its end."`
	Status       statusCmd       `cmd:"" help:"Show a source: its slot, change log and shapes."`
	Check        checkCmd        `cmd:"" help:"Say whether this database and this NATS are ready, and what to run if not."`
	Health       healthCmd       `cmd:"" help:"Ask a service on this machine whether it runs; for health checks of containers."`
	Version      versionCmd      `cmd:"" help:"Print the version."`
}

const description = `Shapebus keeps filtered, live copies of Postgres tables ("shapes") on NATS JetStream.

Flags win over environment variables (the name stands behind each flag), those over defaults.
Exit codes: 0 done or stopped as asked, 1 failed, 2 wrong usage.`

// newParser builds the parser of the command tree c.
func newParser(c *cli, stdout, stderr *os.File) (*kong.Kong, error) {
	return kong.New(c,
		kong.Name("shapebus"),
		kong.Description(description),
		kong.Writers(stdout, stderr),
		kong.DefaultEnvars("SHAPEBUS"),
		kong.Vars{"partitions": strconv.Itoa(consumer.DefaultPartitions)},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 120}),
	)
}

// shapeCmd groups the control plane's commands on shapes.
type shapeCmd struct {
	Create shapeCreateCmd `cmd:"" help:"Create a shape, or find it: the same definition is the same shape."`
	List   shapeListCmd   `cmd:"" help:"List the shapes of a source."`
	Get    shapeGetCmd    `cmd:"" help:"Show one shape."`
	Delete shapeDeleteCmd `cmd:"" help:"Delete a shape; its readers are told to fetch again."`
	Fold   shapeFoldCmd   `cmd:"" help:"Fold a shape's log: new readers begin with the shape's rows, and room is given back."`
	Top    shapeTopCmd    `cmd:"" help:"Show which shapes cost most: CPU, bytes written, size of the log."`
	Tail   shapeTailCmd   `cmd:"" help:"Follow a shape: print its rows and every transaction that changes it."`
}
