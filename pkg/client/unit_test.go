package client_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/natsembed"
	"github.com/shapebus/shapebus/pkg/wire"
)

// outerLog writes the log of a shape with a subquery: its beginning, a unit
// that a crash cut short and that was begun again, and what the unit deferred.
func outerLog(l *shapeLog) {
	l.snapshot(1, []string{"1", "a", "x"}, []string{"2", "b", "x"})
	l.commitOf(60, 0, 0) // at the barrier
	l.write()
	l.unit = true
	l.op(100, 0, change.Upsert, "3", "aborted", "x")
	l.op(100, 2, change.Discard, "1", "x")
	l.write()
	l.unit = false
	l.abort()
	l.write()
	l.unit = true
	l.op(100, 0, change.Upsert, "3", "c", "x")
	l.write()
	l.opOf(120, 0, 2, change.Upsert, "2", "again", "x")
	l.opOf(120, 0, 4, change.Discard, "9", "x")
	l.commitOf(120, 0, 6)
	l.tail.Deferred = wire.FormatDeferred([]change.LSN{110, 115})
	l.write()
	l.unit = false
	l.opOf(120, 1100, 8, change.Insert, "4", "late", "x")
	l.commitOf(120, 1100, 10)
	l.tail.Deferred = wire.FormatDeferred([]change.LSN{115})
	l.commitOf(120, 1150, 12)
	l.tail.Deferred = ""
	l.write()
	l.op(130, 0, change.Delete, "3", "x")
	l.commit(130, 2)
	l.write()
}

func TestUnits(t *testing.T) {
	b := newBench(t, natsembed.Options{})

	t.Run("are transactions, and what is aborted is taken back", func(t *testing.T) {
		l := b.newLog(columns, true)
		outerLog(l)
		want := []string{
			"begin snapshot 2 rows", "0_0 insert id=1,note=a,part=x", "0_0 insert id=2,note=b,part=x", "commit snapshot 2",
			"begin 60 xid 0 at 60000", "commit 60_0 0",
			"begin 100 xid 1000 at 100000 unit", "100_0 upsert id=3,note=aborted,part=x", "100_2 discard id=1,part=x", "abort 60_0",
			"begin 100 xid 1000 at 100000 unit", "100_0 upsert id=3,note=c,part=x", "120_2 upsert id=2,note=again,part=x", "120_4 discard id=9,part=x", "commit 120_6 3",
			"begin 120 xid 1100 at 120000", "120_8 insert id=4,note=late,part=x", "commit 120_10 1",
			"begin 120 xid 1150 at 120000", "commit 120_12 0",
			"begin 130 xid 1300 at 130000", "130_0 delete id=3,part=x", "commit 130_2 1",
		}
		if diff := cmp.Diff(want, backlog(t, l.open(), client.Beginning(), client.Options{})); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("tell how far nothing is missing", func(t *testing.T) {
		l := b.newLog(columns, true)
		outerLog(l)
		passed := map[string]change.LSN{}
		for e, err := range l.open().Subscribe(client.Beginning(), client.Options{}).Events(t.Context()) {
			ok(t, err)
			if c, is := e.(client.Commit); is {
				passed[c.Offset.String()] = c.Passed
			}
			if _, done := e.(client.CaughtUp); done {
				break
			}
		}
		want := map[string]change.LSN{"0_0": 0, "60_0": 60, "120_6": 109, "120_10": 0, "120_12": 120, "130_2": 130}
		if diff := cmp.Diff(want, passed); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("a view shows them whole, and waits for what is deferred", func(t *testing.T) {
		l := b.newLog(columns, true)
		info := l.info
		info.State, info.Applied = control.StateLive, change.LSN(109) // what is deferred has not been applied
		b.know(info)
		s := l.open()
		v := s.View(client.ViewOptions{})
		defer v.Close()
		l.snapshot(1, []string{"1", "a", "x"})
		l.commitOf(60, 0, 0)
		l.write()
		l.unit = true
		l.op(100, 0, change.Upsert, "1", "b", "x")
		l.write()
		l.abort()
		l.op(100, 0, change.Discard, "1", "x")
		l.opOf(120, 0, 2, change.Upsert, "2", "c", "x")
		l.commitOf(120, 0, 4)
		l.tail.Deferred = wire.FormatDeferred([]change.LSN{110})
		l.write()
		if got := rowsText(until(t, v, at(120, 4))); got != "id=2,note=c,part=x" {
			t.Errorf("shows %s", got)
		}
		ok(t, v.Wait(t.Context(), 109))
		reaches(t, s, client.Reach{Offset: client.Offset{LSN: 120, Op: 4}, LSN: 109})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := v.Wait(ctx, 112); err == nil {
			t.Error("the transaction at 110 is deferred, and Wait does not wait for it")
		}
		l.unit = false
		l.commitOf(120, 1100, 6)
		l.tail.Deferred = ""
		l.write()
		info.Applied = 112
		b.know(info)
		ok(t, v.Wait(t.Context(), 112))
		reaches(t, s, client.Reach{Offset: client.Offset{LSN: 120, Op: 6}, LSN: 112})
	})
}

// reaches checks how far a shape says that its log has come.
func reaches(t *testing.T, s *client.Shape, want client.Reach) {
	t.Helper()
	got, err := s.Reach(t.Context())
	ok(t, err)
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Error(diff)
	}
}
