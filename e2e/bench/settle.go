package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
)

// settle waits until all that is committed so far has been seen on the shape's behalf.
func (l *lab) settle(ctx context.Context, s *shape) error {
	end, err := pg.EmitBarrier(ctx, l.db, topology.BarrierPrefix, "bench")
	if err != nil {
		return err
	}
	return poll(ctx, pollEvery/5, fmt.Sprintf("shape %s is at %s", s.Handle(), end), func() (bool, error) {
		info, err := s.Refresh(ctx)
		if err != nil {
			return false, err
		}
		if info.State != control.StateLive {
			return false, fmt.Errorf("it is %s: %s", info.State, info.Reason)
		}
		return info.Applied >= end, nil
	})
}

// verify settles the shape and counts its rows, as a reader of its log does, against its query.
func (l *lab) verify(ctx context.Context, s *shape) (rows int, err error) {
	if err := l.settle(ctx, s); err != nil {
		return 0, err
	}
	info := s.Info()
	where := cmp.Or(info.Where, "true")
	for i := len(info.Params); i > 0; i-- {
		where = strings.ReplaceAll(where, fmt.Sprintf("$%d", i), pg.Literal(*info.Params[i-1]))
	}
	want, err := l.count(ctx, fmt.Sprintf("SELECT count(*) FROM %s WHERE %s", info.Table, where))
	if err != nil {
		return 0, err
	}
	rows, err = countRows(ctx, s.Shape)
	if err == nil && int64(rows) != want {
		err = fmt.Errorf("shape %s has %d rows, its query %d", s.Handle(), rows, want)
	}
	return rows, err
}

// rowCount counts the rows of a shape with an integer key id from the events of a subscription.
type rowCount struct {
	ids  map[string]struct{}
	undo []undone // what the open transaction changed
}

// undone is a row that the open transaction added or removed.
type undone struct {
	id    string
	added bool
}

// countRows reads a shape's log to its end.
func countRows(ctx context.Context, s *client.Shape) (int, error) {
	c := rowCount{ids: map[string]struct{}{}}
	for event, err := range s.Subscribe(client.Beginning(), client.Options{}).Events(ctx) {
		if err != nil {
			return 0, err
		}
		switch e := event.(type) {
		case client.Change:
			id, _ := e.Row.Text("id")
			if err := c.change(e.Kind, id); err != nil {
				return 0, fmt.Errorf("shape %s at %s: %w", s.Handle(), e.Offset, err)
			}
		case client.Commit:
			c.undo = c.undo[:0]
		case client.Abort:
			c.abort()
		case client.CaughtUp:
			return len(c.ids), nil
		}
	}
	return 0, errors.New("the subscription ended")
}

func (c *rowCount) change(kind change.Kind, id string) error {
	_, have := c.ids[id]
	switch kind {
	case change.Insert, change.Upsert:
		if have && kind == change.Insert {
			return fmt.Errorf("insert of row %s, which is there", id)
		}
		if !have {
			c.ids[id] = struct{}{}
			c.undo = append(c.undo, undone{id, true})
		}
	case change.Update:
		if !have {
			return fmt.Errorf("update of row %s, which is not there", id)
		}
	case change.Delete, change.Discard:
		if !have && kind == change.Delete {
			return fmt.Errorf("delete of row %s, which is not there", id)
		}
		if have {
			delete(c.ids, id)
			c.undo = append(c.undo, undone{id, false})
		}
	case change.Truncate:
		return errors.New("a truncate, which no bench does")
	}
	return nil
}

// abort takes the open transaction back.
func (c *rowCount) abort() {
	for _, u := range slices.Backward(c.undo) {
		if u.added {
			delete(c.ids, u.id)
		} else {
			c.ids[u.id] = struct{}{}
		}
	}
	c.undo = c.undo[:0]
}
