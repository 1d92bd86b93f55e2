package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/natsembed"
)

// until waits for a view to show something.
func until(tb testing.TB, v *client.View, what func(client.Snapshot) bool) client.Snapshot {
	tb.Helper()
	timeout := time.After(20 * time.Second)
	for {
		changed := v.Changed()
		s, err := v.Snapshot()
		if err != nil && !errors.Is(err, client.ErrNotReady) {
			tb.Fatal(err)
		}
		if err == nil && what(s) {
			return s
		}
		select {
		case <-changed:
		case <-timeout:
			tb.Fatalf("the view stays at %s %s", s.Position.Handle, rowsText(s))
		}
	}
}

func rowsText(s client.Snapshot) string {
	var rows []string
	for _, r := range s.Rows {
		rows = append(rows, rowText(r))
	}
	slices.Sort(rows)
	return strings.Join(rows, " ")
}

func at(lsn, op uint64) func(client.Snapshot) bool {
	return func(s client.Snapshot) bool { return s.Position.Offset == change.Offset{LSN: change.LSN(lsn), Op: op} }
}

func TestView(t *testing.T) {
	b := newBench(t, natsembed.Options{})

	t.Run("shows the shape at its last commit", func(t *testing.T) {
		l := b.newLog(columns, true)
		v := l.open().View(client.ViewOptions{})
		defer v.Close()
		if _, err := v.Snapshot(); !errors.Is(err, client.ErrNotReady) {
			t.Errorf("before the snapshot: %v", err)
		}
		if _, err := v.Get("1", "x"); !errors.Is(err, client.ErrNotReady) {
			t.Errorf("a row before the snapshot: %v", err)
		}
		l.snapshot(1, []string{"1", "a", "x"}, []string{"2", "b", "x"})
		l.write()
		ok(t, v.WaitReady(t.Context()))
		l.op(100, 0, change.Delete, "1", "x")
		l.op(100, 1, change.Insert, "3", "a", "x")
		l.op(100, 2, change.Update, "2", null, "x")
		l.commit(100, 4)
		l.write()
		s := until(t, v, at(100, 4))
		if got := rowsText(s); got != "id=2,note=NULL,part=x id=3,note=a,part=x" || v.Len() != 2 || s.LSN != 100 {
			t.Errorf("shows %s, %d rows at %s", got, v.Len(), s.LSN)
		}
		if r, err := v.Get(3, "x"); err != nil || rowText(r) != "id=3,note=a,part=x" {
			t.Errorf("by its key: %v %v", r, err)
		}
		if _, err := v.Get("1", "x"); !errors.Is(err, client.ErrNoRow) {
			t.Error("a deleted row is found")
		}
		for want, key := range map[string][]any{"key of 2 columns: id, part": {"3"}, "key column part": {"3", 1.5}} {
			if _, err := v.Get(key...); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the key %v gives %v, want %q", key, err, want)
			}
		}
		l.op(200, 0, change.Truncate)
		l.op(200, 2, change.Insert, "4", "d", "x")
		l.commit(200, 4)
		l.write()
		if got := rowsText(until(t, v, at(200, 4))); got != "id=4,note=d,part=x" {
			t.Errorf("after a truncate: %s", got)
		}
	})
	t.Run("never shows the middle of a transaction", func(t *testing.T) {
		l := b.newLog(columns, true)
		l.snapshot(1)
		l.write()
		v := l.open().View(client.ViewOptions{})
		defer v.Close()
		polled := make(chan error, 1)
		stop := make(chan struct{})
		go func() { // every transaction adds ten rows
			defer close(polled)
			for {
				if s, err := v.Snapshot(); err == nil && len(s.Rows)%10 != 0 {
					polled <- fmt.Errorf("%d rows at %s", len(s.Rows), s.Position)
					return
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		}()
		for lsn := range uint64(50) {
			for i := range uint64(10) {
				l.op(100+lsn, 2*i, change.Insert, fmt.Sprint(lsn*10+i), "v", "x")
				if i%3 == 0 {
					l.write()
				}
			}
			l.commit(100+lsn, 20)
			l.write()
		}
		until(t, v, at(149, 20))
		close(stop)
		if err := <-polled; err != nil {
			t.Error(err)
		}
	})
	t.Run("without a primary key counts identical rows", func(t *testing.T) {
		l := b.newLog([]control.Column{{Name: "a", Key: true}, {Name: "b", Key: true}}, false)
		l.snapshot(1, []string{"1", null}, []string{"1", null}, []string{"1", "x"})
		l.write()
		v := l.open().View(client.ViewOptions{})
		defer v.Close()
		l.op(100, 0, change.Delete, "1", null)
		l.op(100, 2, change.Insert, "1", "x")
		l.commit(100, 4)
		l.write()
		if got := rowsText(until(t, v, at(100, 4))); got != "a=1,b=NULL a=1,b=x a=1,b=x" {
			t.Errorf("shows %s", got)
		}
	})
	t.Run("refuses an op that cannot be", func(t *testing.T) {
		l := b.newLog(columns, true)
		l.snapshot(1, []string{"1", "a", "x"})
		l.op(100, 6, change.Insert, "1", "again", "x")
		l.commit(100, 8)
		l.write()
		v := l.open().View(client.ViewOptions{})
		<-v.Done()
		var e *client.BrokenLogError
		if !errors.As(v.Err(), &e) || e.Offset.String() != "100_6" {
			t.Errorf("ended with %v", v.Err())
		}
	})
	t.Run("of one life ends with it and shows no stale rows", func(t *testing.T) {
		l := b.newLog(columns, true)
		l.snapshot(1, []string{"1", "a", "x"})
		l.write()
		v := l.open().View(client.ViewOptions{})
		ok(t, v.WaitReady(t.Context()))
		l.end("its table was dropped")
		l.write()
		<-v.Done()
		var e *client.MustRefetchError
		if _, err := v.Snapshot(); !errors.As(err, &e) {
			t.Errorf("got %v", err)
		}
		if _, err := v.Get("1", "x"); !errors.As(err, &e) {
			t.Errorf("a row is looked up with %v", err)
		}
	})
	t.Run("of a definition goes on with the next life, whole", func(t *testing.T) {
		first, second := b.newLog(columns, true), b.newLog(columns, true)
		lives := []*shapeLog{first, second}
		b.mu.Lock()
		b.create = func(control.CreateRequest) (control.Shape, error) {
			switch len(lives) {
			case 1:
				lives = append(lives, nil)
				return control.Shape{}, errors.New("the consumer starts") // once
			case 2:
				if lives[1] == nil {
					lives = append(lives, nil) // and once what ended the shape is yet to be mended
					return control.Shape{}, &client.RequestError{Code: control.CodeForbidden, Text: "publication shapebus does not exist"}
				}
			}
			s := lives[0]
			lives = lives[1:]
			if s == nil {
				s = second
			}
			return s.info, nil
		}
		b.mu.Unlock()
		first.snapshot(1, []string{"1", "a", "x"})
		first.write()
		v, err := b.client.Watch(t.Context(), client.Definition{Table: "things"}, client.ViewOptions{})
		ok(t, err)
		defer v.Close()
		ok(t, v.WaitReady(t.Context()))
		first.end("a column was added")
		first.write()
		old := until(t, v, func(s client.Snapshot) bool { return s.Ended })
		if old.Position.Handle != first.info.Handle || len(old.Rows) != 1 {
			t.Errorf("meanwhile it shows %s %s", old.Position.Handle, rowsText(old))
		}
		second.snapshot(1, []string{"1", "a", "x"}, []string{"2", "b", "x"})
		second.write()
		s := until(t, v, func(s client.Snapshot) bool { return !s.Ended })
		if s.Position.Handle != second.info.Handle || len(s.Rows) != 2 || v.Shape().Handle() != s.Position.Handle {
			t.Errorf("then it shows %s %s", s.Position.Handle, rowsText(s))
		}
	})
	t.Run("leaves nothing behind when it is closed", func(t *testing.T) {
		l := b.newLog(columns, true)
		l.snapshot(1)
		l.write()
		s := l.open()
		before := goleak.IgnoreCurrent()
		v := s.View(client.ViewOptions{})
		ok(t, v.WaitReady(t.Context()))
		v.Close()
		if !errors.Is(v.Err(), client.ErrClosed) {
			t.Errorf("ended with %v", v.Err())
		}
		if err := goleak.Find(before); err != nil {
			t.Error(err)
		}
	})
}

func TestViewWait(t *testing.T) {
	b := newBench(t, natsembed.Options{})
	l := b.newLog(columns, true)
	l.snapshot(1)
	l.write()
	v := l.open().View(client.ViewOptions{})
	defer v.Close()

	t.Run("is over with a transaction of the shape's own", func(t *testing.T) {
		waited := make(chan error, 1)
		go func() { waited <- v.Wait(t.Context(), 90) }()
		l.op(100, 0, change.Insert, "1", "a", "x")
		l.commit(100, 2)
		l.write()
		ok(t, <-waited)
		if v.Len() != 1 {
			t.Error("the view does not have it")
		}
	})
	t.Run("is over when the change log has passed without one", func(t *testing.T) {
		waited := make(chan error, 1)
		go func() { waited <- v.Wait(t.Context(), 300) }()
		info := l.info
		info.State, info.Applied = control.StateLive, change.LSN(200)
		b.know(info)
		l.op(250, 0, change.Insert, "2", "a", "x")
		l.commit(250, 2)
		l.write()
		until(t, v, at(250, 2))
		select {
		case err := <-waited:
			t.Fatalf("it is over too early: %v", err)
		default:
		}
		info.Applied = change.LSN(300)
		b.know(info)
		ok(t, <-waited)
	})
	t.Run("ends with its context", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		if err := v.Wait(ctx, 1000); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}
