// Command bench measures what Shapebus promises: memory that does not depend on the size of a transaction, throughput
// beside a floor, and latency. It looks from outside: the built binary's services and a NATS server, each in a
// process of its own, a throw-away Postgres, and pkg/client.
//
//	go run ./e2e/bench memory      peak memory of ingest and consumer, for a small and a large transaction
//	go run ./e2e/bench throughput  time to drain a backlog, over that of pg_recvlogical on the same WAL
//	go run ./e2e/bench values      what the materializer's memory grows by for each value that a subquery selects
//	go run ./e2e/bench latency     from COMMIT to the change in a client's hands
//	go run ./e2e/bench filter      what one change costs beside many shapes, and what a shape takes up
//	go run ./e2e/bench shapes      many shapes: creation, latency beside them, memory, restart
//	go run ./e2e/bench subquery    shapes with subqueries: memory, latency, and what a slow query holds up
//	go run ./e2e/bench gateway     shapes over HTTP: latency, many clients, replay, memory
//	go run ./e2e/bench takeover    how long readers wait when one of several consumers is stopped, killed or frozen
//	go run ./e2e/bench scale       what several consumers cost that share the partitions, and how evenly
//	go run ./e2e/bench failover    how long readers wait when NATS servers, Postgres or ingest go
//	go run ./e2e/bench fold        logs that are folded: disk, new readers, memory, latency beside a fold
//	go run ./e2e/bench soak        what grows while everything runs as ever, for minutes
//	go run ./e2e/bench idle        what a consumer with many shapes costs while little or nothing happens
//
// Each prints a table for people and then a line "figure <name> <value> <unit>" per result. docs/BENCHMARKS.md says what
// exactly is measured. It refuses to judge: goals are for the reader, a missed one is no error. It needs Linux, for /proc,
// and the module's source around it, to build the binary.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/shapebus/shapebus/e2e/proc"
)

const usage = `usage: bench memory [-rows N]
       bench throughput [-rows N] [-transactions N] [-runs N]
       bench values [-values N]
       bench latency [-transactions N] [-rate N]
       bench filter [-shapes N] [-count N] [-period D]
       bench shapes [-shapes N] [-rate N] [-period D]
       bench idle [-plain N] [-subqueries N] [-toggles N] [-partitions N] [-period D]
       bench gateway [-transactions N] [-rate N] [-polls N] [-clients N] [-changes N] [-rows N] [-few N] [-only PART]
       bench scale [-shapes N,…] [-logs N,…] [-rate N] [-period D]
       bench takeover [-shapes N] [-partitions N] [-runs N]
       bench failover [-rows N] [-runs N] [-outage D] [-down D] [-only EVENTS]
       bench fold [-rows N] [-changed N] [-times N] [-transactions N] [-rate N]
       bench soak [-minutes N] [-rate N] [-toggles N] [-churn N] [-shapes N] [-every D] [-retention D] [-profile FILE]
       bench subquery [-rows N] [-values N] [-set N] [-shapes N] [-changes N] [-stall D]
and in each: [-binary FILE] [-timeout D]
`

func main() {
	proc.ServeNATS()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main without the process: results go to stdout, progress and errors to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	name := ""
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	limit := flags.Duration("timeout", time.Hour, "how long the whole bench may take")
	binary := flags.String("binary", "", "shapebus to measure; default: built from the source here")
	var bench func(context.Context, *common) (*report, error)
	switch name {
	case natsCommand:
		if err := serveNATS(ctx, args, stdout); err != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
		return 0
	case "memory":
		bench = memoryFlags(flags)
	case "values":
		bench = valuesFlags(flags)
	case "throughput":
		bench = throughputFlags(flags)
	case "latency":
		bench = latencyFlags(flags)
	case "filter":
		bench, *binary = filterFlags(flags), "none" // it measures a package
	case "shapes":
		bench = shapesFlags(flags)
	case "gateway":
		bench = gatewayFlags(flags)
	case "idle":
		bench = idleFlags(flags)
	case "subquery":
		bench = subqueryFlags(flags)
	case "fold":
		bench = foldFlags(flags)
	case "soak":
		bench = soakFlags(flags)
	case "takeover":
		bench = takeoverFlags(flags)
	case "scale":
		bench = scaleFlags(flags)
	case "failover":
		bench = failoverFlags(flags)
	default:
		fmt.Fprint(stderr, usage)
		return 2
	}
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() > 0 {
		fmt.Fprint(stderr, usage)
		return 2
	}
	ctx, cancel := context.WithTimeoutCause(ctx, *limit, fmt.Errorf("not finished after %s; see -timeout", *limit))
	defer cancel()
	c := &common{w: stderr, began: time.Now(), binary: *binary}
	if err := c.run(ctx, bench, stdout); err != nil {
		fmt.Fprintf(stderr, "bench %s: %v\n", name, err)
		return 1
	}
	return 0
}

// run runs a bench on the binary, built for it unless there is one, and writes its report.
func (c *common) run(ctx context.Context, bench func(context.Context, *common) (*report, error), stdout io.Writer) (err error) {
	if c.binary == "" {
		dir, err := os.MkdirTemp("", "shapebus-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		c.say("building shapebus")
		if c.binary, err = buildBinary(ctx, dir); err != nil {
			return err
		}
	}
	result, err := bench(ctx, c)
	if err != nil {
		return err
	}
	return result.write(stdout)
}

// buildBinary builds shapebus from the module around the current directory into dir.
func buildBinary(ctx context.Context, dir string) (path string, err error) {
	path = filepath.Join(dir, "shapebus")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/shapebus/shapebus/cmd/shapebus")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build shapebus: %w\n%s", err, out)
	}
	return path, nil
}

// common is what every bench is given.
type common struct {
	w      io.Writer // for progress
	began  time.Time
	binary string // to measure; "" until it is built
}

// say tells somebody who waits what is going on.
func (c *common) say(format string, args ...any) {
	fmt.Fprintf(c.w, "%6.1fs  %s\n", time.Since(c.began).Seconds(), fmt.Sprintf(format, args...))
}
