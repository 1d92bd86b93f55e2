// Package demo is the whole system at work, for a person to watch: it starts Postgres, NATS and the services as processes, does
// what an office does to its database, lets four subscribers follow, and checks in the end that each of them holds what the
// database says. It leaves nothing behind.
package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
)

// Config says what a demo shows, and where.
type Config struct {
	Rows        int    // of the large transaction; at least 1
	Seconds     int    // of ordinary traffic before it
	Once        bool   // end after the summary; else a little traffic goes on until the context ends
	DatabaseURL string // of somebody's Postgres, in which the demo is a guest; "" for a throw-away one
	Fault       Fault  // what is to go wrong; "" for nothing

	Out      *os.File // what there is to see
	Terminal bool     // Out is a terminal, on which lines can be redrawn
	Color    bool     // Out shows colours
}

// Fault is what a test wants to go wrong.
type Fault string

// The faults: a subscriber overlooks one change; a copy gets a row that nobody wrote.
const (
	FaultLostChange Fault = "lost-change"
	FaultStrayRow   Fault = "stray-row"
)

// What the demo calls its things. The source has a NATS of its own; the rest may stand in a database with other users.
const (
	sourceName      = "demo"
	schemaName      = "shapebus_demo"
	publicationName = "shapebus_demo_tmp"
	slotName        = "shapebus_demo_tmp"
)

// stopTime bounds the clean-up at the end.
const stopTime = 30 * time.Second

// demo is one run: the parts, what they are shown to do, and what is checked.
type demo struct {
	cfg    Config
	screen *screen
	parts  *processes
	group  *errgroup.Group // of everything that runs beside the story

	apps    []*app
	traffic *traffic
	toggles *toggles
	meter   *meter
	big     largeTransaction
	moved   handOver
	lag     int64   // WAL that the slot held in the end, in bytes
	checks  []check // nil until they were made
}

// errTold is the end of the story.
var errTold = errors.New("the demo has come to its end")

// Run shows the whole system at work, checks it, and takes everything down again. It starts the services from the program that
// it is part of, as its commands ingest, consumer, materializer and demo --nats-only. An error says what failed, or which checks
// did not hold.
func Run(ctx context.Context, cfg Config) error {
	switched := &toggles{}
	d := &demo{cfg: cfg, screen: newScreen(cfg), parts: newProcesses(cfg.DatabaseURL), traffic: newTraffic(switched), toggles: switched}
	err := d.run(ctx)
	switch {
	case ctx.Err() != nil && d.checks == nil && cfg.Once:
		return errors.Join(errors.New("stopped before the checks were made"), err)
	case err == nil:
		return failedChecks(d.checks)
	}
	return err
}

// run starts the parts, tells the story, and leaves nothing behind.
func (d *demo) run(ctx context.Context) (err error) {
	defer func() {
		d.screen.close()
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		err = errors.Join(err, d.parts.stop(stopping))
	}()
	group, running := errgroup.WithContext(ctx)
	d.group = group
	group.Go(func() error { return d.parts.watch(running) })
	group.Go(func() error {
		if err := d.story(running); err != nil {
			return err
		}
		return errTold
	})
	err = group.Wait()
	if errors.Is(err, errTold) || ctx.Err() != nil {
		return nil // a stop that was asked for
	}
	return err
}

// story is the demo from its first line to its last.
func (d *demo) story(ctx context.Context) error {
	if err := d.parts.start(ctx, d.screen); err != nil {
		return err
	}
	if err := d.prepare(ctx); err != nil {
		return err
	}
	if err := d.subscribeAll(ctx); err != nil {
		return err
	}
	if err := d.ordinary(ctx); err != nil {
		return err
	}
	if err := d.large(ctx); err != nil {
		return err
	}
	if err := d.handOver(ctx); err != nil {
		return err
	}
	checks, err := d.verify(ctx)
	if err != nil {
		return err
	}
	d.meter.read(ctx)
	d.screen.stop()
	d.summary(checks)
	d.checks = checks
	if d.cfg.Once {
		return nil
	}
	d.invite()
	if d.screen.tty {
		d.screen.start(d.board)
	}
	return d.traffic.run(ctx, d.parts.database, trickle)
}

// ordinary starts the traffic and leaves it alone for a while.
func (d *demo) ordinary(ctx context.Context) error {
	d.traffic.start(ctx, d)
	for left := d.cfg.Seconds; left > 0; left-- {
		d.screen.phase(fmt.Sprintf("ordinary traffic for %d s", d.cfg.Seconds), fmt.Sprintf("%d s more", left))
		if !pause(ctx, time.Second) {
			return ctx.Err()
		}
	}
	return nil
}

// pause reports whether d went by before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// until asks again and again whether something is so. The error says what was waited for.
func until(ctx context.Context, patience time.Duration, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("after %s still not: %s", patience, what))
	defer cancel()
	for {
		yes, err := ok()
		switch {
		case ctx.Err() != nil:
			return errors.Join(context.Cause(ctx), err)
		case err != nil:
			return fmt.Errorf("%s: %w", what, err)
		case yes:
			return nil
		}
		pause(ctx, 50*time.Millisecond)
	}
}
