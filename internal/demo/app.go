package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/term"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// app is a shape and the app that subscribes to it.
type app struct {
	title string
	def   client.Definition
	shape *client.Shape
	copy  *replica
	wire  *tap
	units bool // it has a subquery, so that transactions may come together as a unit
}

// newApps are four ways to look at the tables; the first is the one that most of the large transaction goes to.
func newApps(now time.Time) []*app {
	month := now.UTC().AddDate(0, 0, -30).Format("2006-01-02 15:04:05+00")
	return []*app{
		{title: "one project's tasks", def: client.Definition{
			Table: schemaName + ".tasks", Where: "project_id = $1", Params: []any{"7"},
		}},
		{title: "urgent open tasks", def: client.Definition{
			Table: schemaName + ".tasks", Columns: []string{"id", "title", "priority", "assignee_id", "due_on"},
			Where: "status <> 'done' AND priority >= 4",
		}},
		{title: "support's comments, 30 days", def: client.Definition{
			Table: schemaName + ".comments", Where: "created_at >= $1 AND author_id IN (3, 5, 8, 13)", Params: []any{month},
		}},
		{title: "tasks of active projects", units: true, def: client.Definition{
			Table: schemaName + ".tasks", Columns: []string{"id", "project_id", "title", "status"},
			Where: "project_id IN (SELECT id FROM " + schemaName + ".projects WHERE active)",
		}},
	}
}

func (s *app) table() string {
	_, name, _ := strings.Cut(s.def.Table, ".")
	return name
}

// whereSQL is the where clause with its parameters written into it.
func (s *app) whereSQL() string {
	sql := s.def.Where
	for i := len(s.def.Params); i > 0; i-- {
		sql = strings.ReplaceAll(sql, fmt.Sprintf("$%d", i), pg.Literal(fmt.Sprint(s.def.Params[i-1])))
	}
	return sql
}

// subscribeAll creates the shapes and starts their subscribers, each with a connection of its own as an app has. It returns
// when all of them hold their rows, with the meter and the screen running.
func (d *demo) subscribeAll(ctx context.Context) error {
	nc, err := d.parts.connectNATS("control")
	if err != nil {
		return err
	}
	d.group.Go(func() error { <-ctx.Done(); nc.Close(); return nil })
	c, err := client.New(nc, sourceName)
	if err != nil {
		return err
	}
	ready := func() (bool, error) {
		status, err := c.Status(ctx)
		return err == nil && status.SlotActive, nil // the services are still starting
	}
	if err := until(ctx, partPatience, "ingest and consumer answer", ready); err != nil {
		return err
	}
	for _, s := range d.apps {
		if s.shape, err = c.Create(ctx, s.def); err != nil {
			return err
		}
		if err := d.subscribe(ctx, s); err != nil {
			return err
		}
	}
	for _, s := range d.apps {
		var info control.Shape
		live := func() (bool, error) {
			info, err = s.shape.Refresh(ctx)
			return err == nil && info.State == control.StateLive && s.copy.figures().snapshot, err
		}
		if err := until(ctx, partPatience, "shape of "+s.title+" is live", live); err != nil {
			return err
		}
		d.screen.say("shape         %-28s %s  WHERE %s", s.title, rowsText(info), s.whereSQL())
	}
	d.meter = newMeter(d.parts, c)
	d.group.Go(func() error { return d.meter.run(ctx) })
	d.screen.say("")
	d.screen.start(d.board)
	d.group.Go(func() error { return d.screen.run(ctx) })
	return nil
}

// rowsText says how many rows a shape has, as far as somebody has counted.
func rowsText(info control.Shape) string {
	if info.Rows < 0 {
		return "rows not counted"
	}
	return term.Plural(info.Rows, "row")
}

// subscribe starts the app that holds a copy of the shape, and the one that looks at how it travels.
func (d *demo) subscribe(ctx context.Context, s *app) error {
	nc, err := d.parts.connectNATS(s.title)
	if err != nil {
		return err
	}
	c, err := client.New(nc, sourceName)
	if err != nil {
		nc.Close()
		return err
	}
	shape, err := c.Open(ctx, s.shape.Handle())
	if err == nil {
		s.wire, err = newTap(nc, shape.Info())
	}
	if err != nil {
		nc.Close()
		return err
	}
	s.copy = newReplica()
	if s.units {
		s.copy.units = d.toggles
	}
	if d.cfg.Fault == FaultLostChange && s == d.apps[0] {
		s.copy.lose = true
	}
	d.group.Go(func() error {
		defer nc.Close()
		for event, err := range shape.Subscribe(client.Beginning(), client.Options{}).Events(ctx) {
			if err != nil && ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return fmt.Errorf("the subscriber of %s: %w", s.title, err)
			}
			s.copy.take(event, time.Now())
		}
		return errors.New("the subscription to " + s.title + " ended by itself")
	})
	return nil
}
