package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/term"
	"github.com/shapebus/shapebus/pkg/topology"
)

// sourceCmd groups the commands on a source as a whole.
type sourceCmd struct {
	Set    sourceSetCmd    `cmd:"" help:"Change a source while it is in use: give it more partitions."`
	Reset  sourceResetCmd  `cmd:"" help:"Have a source begin again with the database as it is now, after a failover that cannot be continued; its shapes end."`
	Delete sourceDeleteCmd `cmd:"" help:"Remove a source: its streams, buckets, slot and publication; its tables become what they were."`
}

type sourceSetCmd struct {
	sourceFlags

	NATS       natsFlags `embed:"" group:"NATS:"`
	Partitions int       `env:"-" required:"" help:"Partitions that the source is to have, no fewer than now. Shapes that are made from then on use them; the others stay where they are."`
}

// Run gives the source more partitions. It speaks to JetStream as a service does, so that an app's right to make shapes is
// not one to make streams.
func (c *sourceSetCmd) Run(ctx context.Context, out *console) error {
	if c.Partitions < 1 || c.Partitions > topology.MaxPartitions {
		return &usageError{text: fmt.Sprintf("--partitions %d: want 1 to %d", c.Partitions, topology.MaxPartitions)}
	}
	at, err := dieAt(failpoint.Source, os.Getenv(failpointVariable), out.stderr)
	if err != nil {
		return err
	}
	if at == nil {
		at = failpoint.Never
	}
	return withJetStream(ctx, out, &c.NATS, "source set", func(ctx context.Context, js jetstream.JetStream) error {
		return c.grow(ctx, out, js, at)
	})
}

func (c *sourceSetCmd) grow(ctx context.Context, out *console, js jetstream.JetStream, at func(failpoint.Point)) error {
	source := topology.Source(c.Source)
	missing := fmt.Errorf("source %s is not set up yet; start a consumer with --partitions %d", source, c.Partitions)
	shapes, err := registry.OpenShapes(ctx, js, source)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return missing
	}
	if err != nil {
		return err
	}
	was, now, err := shapes.Grow(ctx, source, c.Partitions, at)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return missing
	case err != nil:
		return fmt.Errorf("source %s has %s: %w", source, term.Plural(was.Partitions, "partition"), err)
	case was == now:
		_, err = fmt.Fprintf(out.stderr, "source %s has %s already\n", source, term.Plural(now.Partitions, "partition"))
	default:
		_, err = fmt.Fprintf(out.stderr, "source %s has %s now, %d before; new shapes use them, the others stay where they are\n", source, term.Plural(now.Partitions, "partition"), was.Partitions)
	}
	return err
}
