package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/natsembed"
)

// grouped is a group of two shapes of one key column each, and their logs.
func grouped(t *testing.T) (b *bench, logs []*shapeLog, g *client.Group) {
	t.Helper()
	b = newBench(t, natsembed.Options{})
	for range 2 {
		l := b.newLog([]control.Column{{Name: "id", Key: true}}, true)
		l.info.State = control.StateLive
		b.know(l.info)
		l.snapshot(1, []string{"0"})
		l.write()
		logs = append(logs, l)
	}
	b.mu.Lock()
	b.create = func(req control.CreateRequest) (control.Shape, error) {
		i := map[string]int{"parents": 0, "children": 1}[req.Table]
		return logs[i].info, nil
	}
	b.mu.Unlock()
	_, err := b.nc.RequestWithContext(t.Context(), source.ControlPlane()+"."+control.EndpointList, []byte("{}"))
	ok(t, err) // the connection's own goroutine comes with its first request
	before := goleak.IgnoreCurrent()
	g, err = b.client.WatchGroup(t.Context(), client.Options{}, client.Definition{Table: "parents"}, client.Definition{Table: "children"})
	ok(t, err)
	t.Cleanup(func() {
		g.Close()
		if err := goleak.Find(before); err != nil {
			t.Error(err)
		}
	})
	return b, logs, g
}

// applied tells the control plane how far the change log was seen.
func (l *shapeLog) applied(lsn uint64) {
	l.info.Applied = change.LSN(lsn)
	l.know(l.info)
}

func (l *shapeLog) add(lsn uint64) {
	l.op(lsn, 0, change.Insert, fmt.Sprint(lsn))
	l.commit(lsn, 2)
	l.write()
}

// moment waits for one.
func moment(t *testing.T, g *client.Group, is func(client.Moment) bool) client.Moment {
	t.Helper()
	deadline := time.After(60 * time.Second)
	for {
		changed := g.Changed()
		m, err := g.Snapshot()
		if err == nil && is(m) {
			return m
		}
		select {
		case <-changed:
		case <-g.Done():
			t.Fatal(g.Err())
		case <-deadline:
			t.Fatalf("stays at %s with %v, %v", m.LSN, m.Shapes, err)
		}
	}
}

func TestGroup(t *testing.T) {
	t.Run("shows what committed in one transaction in one look", func(t *testing.T) {
		_, logs, g := grouped(t)
		for _, l := range logs {
			l.applied(99)
		}
		ok(t, g.WaitReady(t.Context()))
		// The children come first, and their parents only when the reader has been told that they do not.
		logs[1].add(100)
		logs[1].add(110)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if err := g.Wait(ctx, 100); !errors.Is(err, context.DeadlineExceeded) {
			m, _ := g.Snapshot()
			t.Errorf("shows %s with %d and %d rows, %v", m.LSN, len(m.Shapes[0].Rows), len(m.Shapes[1].Rows), err)
		}
		cancel()
		logs[0].add(100)
		logs[0].applied(105)
		ok(t, g.Wait(t.Context(), 100))
		ok(t, g.Look(func(l client.Look) error {
			if _, err := l.Get(0, 100); err != nil || l.Len(0) != 2 || l.Len(1) != 2 || l.LSN < 100 || l.LSN > 105 || len(l.Rows(1)) != 2 {
				t.Errorf("at %s %d and %d rows, %v", l.LSN, l.Len(0), l.Len(1), err)
			}
			return nil
		}))
		logs[0].applied(110)
		m := moment(t, g, func(m client.Moment) bool { return m.LSN >= 110 })
		if m.LSN != 110 || len(m.Shapes[0].Rows) != 2 || len(m.Shapes[1].Rows) != 3 || m.Shapes[0].Position.Handle != logs[0].info.Handle {
			t.Errorf("at %s %d and %d rows", m.LSN, len(m.Shapes[0].Rows), len(m.Shapes[1].Rows))
		}
	})
	t.Run("takes back what is aborted behind something that it has not shown", func(t *testing.T) {
		_, logs, g := grouped(t)
		for _, l := range logs {
			l.applied(99)
		}
		ok(t, g.WaitReady(t.Context()))
		l := logs[1]
		l.add(100)
		l.unit = true
		l.op(110, 0, change.Upsert, "aborted")
		l.write()
		l.unit = false
		l.abort()
		l.write()
		l.add(120)
		logs[0].applied(120)
		l.applied(120)
		ok(t, g.Wait(t.Context(), 120))
		m, err := g.Snapshot()
		ok(t, err)
		if got := rowsText(m.Shapes[1]); got != "id=0 id=100 id=120" {
			t.Errorf("shows %s", got)
		}
	})
	t.Run("shows the last moment until a new life is there", func(t *testing.T) {
		b, logs, g := grouped(t)
		for _, l := range logs {
			l.applied(99)
		}
		ok(t, g.WaitReady(t.Context()))
		old := logs[1]
		next := b.newLog(old.info.Columns, true)
		next.info.State = control.StateLive
		b.know(next.info)
		b.mu.Lock()
		logs[1] = next
		b.mu.Unlock()
		old.end("a column was added")
		old.write()
		m := moment(t, g, func(m client.Moment) bool { return m.Shapes[1].Ended })
		if m.Stalled == nil || g.Stalled() == nil || len(m.Shapes[1].Rows) != 1 {
			t.Errorf("meanwhile it shows %d rows, stalled: %v", len(m.Shapes[1].Rows), m.Stalled)
		}
		logs[0].add(150) // behind what is shown of the old incarnation
		next.snapshotAt(200, 1, []string{"1"}, []string{"2"})
		next.write()
		logs[0].applied(250)
		next.applied(250)
		m = moment(t, g, func(m client.Moment) bool { return !m.Shapes[1].Ended })
		if rowsText(m.Shapes[1]) != "id=1 id=2" || rowsText(m.Shapes[0]) != "id=0 id=150" || m.LSN < 199 || m.Stalled != nil {
			t.Errorf("then it shows %s and %s at %s, stalled: %v", rowsText(m.Shapes[0]), rowsText(m.Shapes[1]), m.LSN, m.Stalled)
		}
	})
	t.Run("is not ready before all are, and says why it ended", func(t *testing.T) {
		_, _, g := grouped(t)
		if _, err := g.Snapshot(); !errors.Is(err, client.ErrNotReady) {
			t.Errorf("before the first moment: %v", err)
		}
		g.Close()
		if _, err := g.Snapshot(); !errors.Is(err, client.ErrClosed) || !errors.Is(g.Err(), client.ErrClosed) {
			t.Errorf("closed: %v, %v", err, g.Err())
		}
	})
	t.Run("goes on behind a wait that was given up", func(t *testing.T) {
		_, logs, g := grouped(t)
		for _, l := range logs {
			l.applied(99)
		}
		ok(t, g.WaitReady(t.Context()))
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := g.Wait(ctx, 1_000_000); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		for _, l := range logs {
			l.add(100)
			l.applied(100)
		}
		moment(t, g, func(m client.Moment) bool { return m.LSN >= 100 })
	})
	t.Run("goes on in another history, at LSNs below those for which somebody has waited", func(t *testing.T) {
		b, logs, g := grouped(t)
		for _, l := range logs {
			l.add(500)
			l.applied(510)
		}
		ok(t, g.Wait(t.Context(), 505))
		olds := slices.Clone(logs)
		for i, old := range olds {
			next := b.newLog(old.info.Columns, true)
			next.info.State = control.StateLive
			b.know(next.info)
			b.mu.Lock()
			logs[i] = next
			b.mu.Unlock()
		}
		for i, old := range olds {
			old.end("the database was restored")
			old.write()
			logs[i].snapshotAt(200, 1, []string{"1"}, []string{"2"})
			logs[i].write()
			logs[i].applied(250)
		}
		moment(t, g, func(m client.Moment) bool { return !m.Shapes[0].Ended && !m.Shapes[1].Ended && m.LSN < 500 })
	})
}
