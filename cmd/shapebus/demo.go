package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

type demoCmd struct {
	Rows            int    `env:"-" default:"1000000" help:"Rows of the large transaction (default ${default})."`
	Seconds         int    `env:"-" default:"10" help:"Seconds of ordinary traffic before it (default ${default})."`
	Once            bool   `env:"-" help:"End after the summary, with exit code 1 if a check did not hold. Default: go on with a little traffic until Ctrl-C."`
	DatabaseURL     string `name:"database-url" env:"SHAPEBUS_DEMO_DATABASE_URL" help:"Postgres to use instead of a throw-away one. The demo works in a schema shapebus_demo of its own there, and drops it and its replication slot at the end. Default none."`
	DatabaseURLFile string `name:"database-url-file" env:"-" type:"path" help:"File that holds --database-url, for one with a password in it. Default none."`

	Fault    demoFault `env:"-" hidden:"" enum:",lost-change,stray-row" default:"" help:"Something to go wrong, for tests that the checks find it. Default nothing."`
	NATSOnly bool      `name:"nats-only" env:"-" hidden:"" help:"Be the demo's NATS: print its URL, end when stdin does. Default off."`
}

// demoFault is what a test wants to go wrong.
type demoFault string

// The faults: a subscriber overlooks one change; a copy gets a row that nobody wrote.
const (
	faultLostChange demoFault = "lost-change"
	faultStrayRow   demoFault = "stray-row"
)

// What the demo calls its things. The source has a NATS of its own; the rest may stand in a database with other users.
const (
	demoSource      = "demo"
	demoSchema      = "shapebus_demo"
	demoPublication = "shapebus_demo_tmp"
	demoSlot        = "shapebus_demo_tmp"
)

// demo is one run: the parts, what they are shown to do, and what is checked.
type demo struct {
	cmd   *demoCmd
	view  *demoView
	parts *demoParts
	group *errgroup.Group // of everything that runs beside the story

	shapes  []*demoShape
	traffic *demoTraffic
	toggles *demoToggles
	meter   *demoMeter
	big     demoBig
	lag     int64       // WAL that the slot held in the end, in bytes
	checks  []demoCheck // nil until they were made
}

// errDemoTold is the end of the story.
var errDemoTold = errors.New("the demo has come to its end")

// Run shows the whole system at work, checks it, and takes everything down again.
func (c *demoCmd) Run(ctx context.Context, out *console) error {
	if c.NATSOnly {
		return demoNATS(ctx, out)
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
	toggles := &demoToggles{}
	d := &demo{cmd: c, view: newDemoView(out), parts: newDemoParts(url), traffic: newDemoTraffic(toggles), toggles: toggles}
	err := d.run(ctx)
	switch {
	case ctx.Err() != nil && d.checks == nil && c.Once:
		return errors.Join(errors.New("stopped before the checks were made"), err)
	case err == nil:
		return failedChecks(d.checks)
	}
	return err
}

// run starts the parts, tells the story, and leaves nothing behind.
func (d *demo) run(ctx context.Context) (err error) {
	defer func() {
		d.view.close()
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), devStop)
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
		return errDemoTold
	})
	err = group.Wait()
	if errors.Is(err, errDemoTold) || ctx.Err() != nil {
		return nil // a stop that was asked for
	}
	return err
}

// story is the demo from its first line to its last.
func (d *demo) story(ctx context.Context) error {
	if err := d.parts.start(ctx, d.view); err != nil {
		return err
	}
	if err := d.prepare(ctx); err != nil {
		return err
	}
	if err := d.watchShapes(ctx); err != nil {
		return err
	}
	if err := d.ordinary(ctx); err != nil {
		return err
	}
	if err := d.large(ctx); err != nil {
		return err
	}
	checks, err := d.verify(ctx)
	if err != nil {
		return err
	}
	d.meter.read(ctx)
	d.view.stop()
	d.summary(checks)
	d.checks = checks
	if d.cmd.Once {
		return nil
	}
	d.invite()
	if d.view.tty {
		d.view.start(d.board)
	}
	return d.traffic.run(ctx, d.parts.database, trickle)
}

// ordinary starts the traffic and leaves it alone for a while.
func (d *demo) ordinary(ctx context.Context) error {
	d.traffic.start(ctx, d)
	for left := d.cmd.Seconds; left > 0; left-- {
		d.view.phase(fmt.Sprintf("ordinary traffic for %d s", d.cmd.Seconds), fmt.Sprintf("%d s more", left))
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
