package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/natsembed"
)

func TestSubscribe(t *testing.T) {
	b := newBench(t, natsembed.Options{})

	t.Run("gives the snapshot, then each transaction", func(t *testing.T) {
		l := b.newLog(columns, true)
		l.snapshot(2, []string{"1", "a", "x"}, []string{"2", null, "x"}, []string{"3", "", "x"})
		l.write()
		l.op(100, 0, change.Insert, "4", "d", "y")
		l.op(100, 2, change.Delete, "1", "x")
		l.commit(100, 6)
		l.op(200, 4, change.Update, "2", "b", "x")
		l.op(200, 6, change.Truncate)
		l.commit(200, 8)
		l.write()
		want := []string{
			"begin snapshot 3 rows",
			"0_0 insert id=1,note=a,part=x", "0_0 insert id=2,note=NULL,part=x", "0_0 insert id=3,note=,part=x",
			"commit snapshot 3",
			"begin 100 xid 1000 at 100000",
			"100_0 insert id=4,note=d,part=y", "100_2 delete id=1,part=x",
			"commit 100_6 2",
			"begin 200 xid 2000 at 200000",
			"200_4 update id=2,note=b,part=x", "200_6 truncate ",
			"commit 200_8 2",
		}
		if diff := cmp.Diff(want, backlog(t, l.open(), client.Beginning(), client.Options{})); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("shows nothing of a transaction before its commit marker", func(t *testing.T) {
		l := b.newLog(columns, true)
		lines, _, stop := tailing(t, l.open(), client.Beginning(), client.Options{Recheck: 20 * time.Millisecond})
		l.snapshot(1)
		l.write()
		expect(t, lines, "begin snapshot 0 rows", "commit snapshot 0", "caught up 0_0")
		want := []string{"begin 100 xid 1000 at 100000"}
		for i := range uint64(50) {
			l.op(100, 2*i, change.Insert, fmt.Sprint(i), "v", "p")
			want = append(want, fmt.Sprintf("100_%d insert id=%d,note=v,part=p", 2*i, i))
			l.write()
			// Another one that polls from the beginning sees nothing either.
			if got := backlog(t, l.open(), client.Beginning(), client.Options{}); len(got) != 2 {
				t.Fatalf("%d fragments are stored and this is seen: %q", i+1, got)
			}
			select {
			case line := <-lines:
				t.Fatalf("%d fragments are stored and this is seen: %s", i+1, line)
			default:
			}
		}
		l.commit(100, 100)
		l.write()
		expect(t, lines, append(want, "commit 100_100 50")...)
		stop()
	})
	t.Run("gives the committed part of a message that ends inside a transaction", func(t *testing.T) {
		l := b.newLog(columns, true)
		l.snapshot(1)
		l.op(100, 0, change.Insert, "1", "a", "x")
		l.commit(100, 2)
		l.op(200, 0, change.Insert, "2", "b", "x")
		l.write()
		lines, _, _ := tailing(t, l.open(), client.Beginning(), client.Options{})
		expect(t, lines, "begin snapshot 0 rows", "commit snapshot 0", "begin 100 xid 1000 at 100000",
			"100_0 insert id=1,note=a,part=x", "commit 100_2 1", "caught up 100_2")
		l.commit(200, 2)
		l.write()
		expect(t, lines, "begin 200 xid 2000 at 200000", "200_0 insert id=2,note=b,part=x", "commit 200_2 1")
	})
	t.Run("goes on from Position when it is iterated again", func(t *testing.T) {
		l := b.newLog(columns, true)
		l.snapshot(1)
		l.op(100, 0, change.Insert, "1", "a", "x")
		l.commit(100, 2)
		l.op(200, 0, change.Insert, "2", "b", "x")
		l.commit(200, 2)
		l.write()
		sub := l.open().Subscribe(client.Beginning(), client.Options{})
		for e, err := range sub.Events(t.Context()) {
			ok(t, err)
			if c, is := e.(client.Change); is && c.Offset.LSN == 200 {
				break // in the middle of a transaction: it does not count
			}
		}
		if got := sub.Position().String(); got != l.after(change.Offset{LSN: 100, Op: 2}).String() {
			t.Fatalf("position %s", got)
		}
		var got []string
		for e, err := range sub.Events(t.Context()) {
			ok(t, err)
			if _, done := e.(client.CaughtUp); done {
				break
			}
			got = append(got, text(e))
		}
		want := []string{"begin 200 xid 2000 at 200000", "200_0 insert id=2,note=b,part=x", "commit 200_2 1"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("ends with the cause of its context, and leaves nothing behind", func(t *testing.T) {
		l := b.newLog(columns, true)
		l.snapshot(1)
		l.write()
		before := goleak.IgnoreCurrent()
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		cause := errors.New("enough")
		for e, err := range l.open().Subscribe(client.Beginning(), client.Options{}).Events(ctx) {
			if _, done := e.(client.CaughtUp); done {
				cancel(cause)
			} else if err != nil && !errors.Is(err, cause) {
				t.Errorf("ended with %v", err)
			}
		}
		for _, err := range l.open().Subscribe(client.Beginning(), client.Options{}).Events(t.Context()) {
			ok(t, err)
			break
		}
		if err := goleak.Find(before); err != nil {
			t.Error(err)
		}
		if n := b.nc.NumSubscriptions(); n > 1 { // the connection's own for replies
			t.Errorf("%d subscriptions are left", n)
		}
	})
	t.Run("ends when the connection is closed for good", func(t *testing.T) {
		nc, err := b.server.Connect()
		ok(t, err)
		c, err := client.New(nc, string(source))
		ok(t, err)
		l := b.newLog(columns, true)
		s, err := c.Open(t.Context(), l.info.Handle)
		ok(t, err)
		l.snapshot(1)
		l.write()
		for e, err := range s.Subscribe(client.Beginning(), client.Options{}).Events(t.Context()) {
			if _, done := e.(client.CaughtUp); done {
				nc.Close()
			} else if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
				t.Errorf("ended with %v", err)
			}
		}
	})
}

func TestMustRefetch(t *testing.T) {
	b := newBench(t, natsembed.Options{})
	opts := client.Options{Recheck: 20 * time.Millisecond, Patience: 200 * time.Millisecond}
	const reason = "column a of public.things was dropped"
	ended := func(l *shapeLog) {
		l.snapshot(1, []string{"1", "a", "x"})
		l.write()
		l.op(100, 0, change.Insert, "2", "b", "x")
		l.commit(100, 2)
		l.op(200, 0, change.Insert, "3", "c", "x")
		l.write()
		l.end(reason)
		l.write()
	}
	t.Run("comes behind the last commit of a shape that ended, and an open transaction is aborted", func(t *testing.T) {
		l := b.newLog(columns, true)
		ended(l)
		lines, failed, _ := tailing(t, l.open(), client.Beginning(), opts)
		expect(t, lines, "begin snapshot 1 rows", "0_0 insert id=1,note=a,part=x", "commit snapshot 1",
			"begin 100 xid 1000 at 100000", "100_0 insert id=2,note=b,part=x", "commit 100_2 1")
		mustRefetch(t, failure(t, failed), reason)
	})
	t.Run("comes from every offset of an ended log, purged or not", func(t *testing.T) {
		l := b.newLog(columns, true)
		ended(l)
		for range 2 {
			for _, o := range []change.Offset{{}, {LSN: 100}, {LSN: 100, Op: 2}, {LSN: 200, Op: 4}} {
				lines, failed, _ := tailing(t, l.open(), l.after(o), opts)
				for range lines { // whatever there is
				}
				mustRefetch(t, failure(t, failed), reason)
			}
			l.purge(jetstream.WithPurgeKeep(1))
		}
		lines, failed, _ := tailing(t, l.open(), client.Beginning(), opts)
		if line, more := <-lines; more {
			t.Errorf("a purged log gives %q", line)
		}
		mustRefetch(t, failure(t, failed), reason)
	})
	t.Run("comes while reading live", func(t *testing.T) {
		l := b.newLog(columns, true)
		l.snapshot(1)
		l.write()
		lines, failed, _ := tailing(t, l.open(), client.Beginning(), client.Options{})
		expect(t, lines, "begin snapshot 0 rows", "commit snapshot 0", "caught up 0_0")
		l.op(200, 0, change.Insert, "3", "c", "x")
		l.write()
		l.end(reason)
		l.write()
		mustRefetch(t, failure(t, failed), reason)
	})
	t.Run("comes when the log is removed under a reader", func(t *testing.T) {
		l := b.newLog(columns, true)
		l.snapshot(1)
		l.write()
		lines, failed, _ := tailing(t, l.open(), client.Beginning(), opts)
		expect(t, lines, "begin snapshot 0 rows", "commit snapshot 0", "caught up 0_0")
		b.forget(l.info.Handle)
		l.purge()
		mustRefetch(t, failure(t, failed), "deleted")
	})
	t.Run("comes when a shape is deleted before it has a snapshot", func(t *testing.T) {
		l := b.newLog(columns, true)
		_, failed, _ := tailing(t, l.open(), client.Beginning(), opts)
		b.forget(l.info.Handle)
		mustRefetch(t, failure(t, failed), "deleted")
	})
	t.Run("comes when the log was lost though the shape is known", func(t *testing.T) {
		l := b.newLog(columns, true)
		l.info.State = control.StateLive
		b.know(l.info)
		s := l.open()
		_, failed, _ := tailing(t, s, l.after(change.Offset{LSN: 5, Op: 2}), opts)
		mustRefetch(t, failure(t, failed), "gone")
	})
	t.Run("comes when the offset is ahead of the log", func(t *testing.T) {
		l := b.newLog(columns, true)
		l.snapshot(1)
		l.op(100, 0, change.Insert, "2", "b", "x")
		l.commit(100, 2)
		l.write()
		_, failed, _ := tailing(t, l.open(), l.after(change.Offset{LSN: 100, Op: 4}), opts)
		mustRefetch(t, failure(t, failed), "ends at offset 100_2, before offset 100_4")
	})
	t.Run("does not come while the shape is being created", func(t *testing.T) {
		l := b.newLog(columns, true)
		lines, _, _ := tailing(t, l.open(), l.after(change.Offset{}), client.Options{Recheck: time.Millisecond, Patience: time.Millisecond})
		expect(t, lines, "caught up 0_0")
		l.snapshot(1, []string{"1", "a", "x"})
		l.write()
		l.op(100, 0, change.Insert, "2", "b", "x")
		l.commit(100, 2)
		l.write()
		expect(t, lines, "begin 100 xid 1000 at 100000", "100_0 insert id=2,note=b,part=x", "commit 100_2 1")
	})
	t.Run("does not come when the log catches up in time", func(t *testing.T) {
		l := b.newLog(columns, true)
		l.snapshot(1)
		l.write()
		lines, _, _ := tailing(t, l.open(), l.after(change.Offset{LSN: 100, Op: 2}), client.Options{Patience: time.Minute})
		l.op(100, 0, change.Insert, "2", "b", "x")
		l.commit(100, 2)
		l.op(200, 0, change.Insert, "3", "c", "x")
		l.commit(200, 2)
		l.write()
		expect(t, lines, "begin 200 xid 2000 at 200000", "200_0 insert id=3,note=c,part=x", "commit 200_2 1")
	})
	t.Run("comes when the log's beginning was removed", func(t *testing.T) {
		l := b.newLog(columns, true)
		l.snapshot(1)
		l.write()
		for lsn := range uint64(5) {
			l.op(100+lsn, 0, change.Insert, fmt.Sprint(lsn), "b", "x")
			l.commit(100+lsn, 2)
			l.write()
		}
		l.purge(jetstream.WithPurgeKeep(2))
		for _, from := range []client.Position{client.Beginning(), l.after(change.Offset{LSN: 101, Op: 2})} {
			_, failed, _ := tailing(t, l.open(), from, opts)
			mustRefetch(t, failure(t, failed), "does not reach back")
		}
		if got := backlog(t, l.open(), l.after(change.Offset{LSN: 103, Op: 2}), opts); len(got) != 3 {
			t.Errorf("from the first message kept: %q", got)
		}
	})
}

func TestBrokenLog(t *testing.T) {
	b := newBench(t, natsembed.Options{})
	broken := map[string]struct {
		build func(l *shapeLog)
		want  string
	}{
		"a row of the wrong width": {func(l *shapeLog) {
			l.op(100, 0, change.Insert, "1", "a")
			l.commit(100, 2)
			l.write()
		}, "offset 100_0: insert with a row of 2 values, want 3"},
		"a transaction without its marker": {func(l *shapeLog) {
			l.op(100, 0, change.Insert, "1", "a", "x")
			l.op(200, 0, change.Insert, "2", "a", "x")
			l.commit(200, 2)
			l.write()
		}, "no commit marker"},
		"a tail beyond what is there": {func(l *shapeLog) {
			l.op(100, 0, change.Insert, "1", "a", "x")
			l.commit(100, 2)
			l.tail.Last.Op, l.tail.Committed.Op = 10, 10
			l.write()
		}, `commits up to 100_2, its tail says "100_10`},
		"a body that is none": {func(l *shapeLog) {
			l.tail.Last.LSN, l.tail.Committed.LSN = 100, 100
			l.tail.Bytes += 2
			l.append(l.subject(), &l.tail, &l.tail, []byte{1, 0xc1})
		}, "malformed"},
	}
	t.Run("a message of a newer version is an error that says what to do", func(t *testing.T) {
		l := b.newLog(columns, true)
		l.snapshot(1)
		l.write()
		l.tail.Last.LSN, l.tail.Committed.LSN = 100, 100
		l.tail.Bytes++
		l.append(l.subject(), &l.tail, &l.tail, []byte{9})
		var last error
		for _, err := range l.open().Subscribe(client.Beginning(), client.Options{}).Events(t.Context()) {
			last = err
		}
		if last == nil || !strings.Contains(last.Error(), "upgrade") || !strings.Contains(last.Error(), l.info.Handle) {
			t.Errorf("got %v", last)
		}
	})
	for name, c := range broken {
		t.Run(name+" is an error that says where", func(t *testing.T) {
			l := b.newLog(columns, true)
			l.snapshot(1)
			l.write()
			c.build(l)
			var last error
			for _, err := range l.open().Subscribe(client.Beginning(), client.Options{}).Events(t.Context()) {
				last = err
			}
			var e *client.BrokenLogError
			if !errors.As(last, &e) || !strings.Contains(last.Error(), c.want) {
				t.Errorf("got %v, want %q", last, c.want)
			}
		})
	}
}

func TestReconnect(t *testing.T) {
	opts := natsembed.Options{Dir: t.TempDir(), Port: -1}
	if testing.Short() {
		t.Skip("needs JetStream; not in -short")
	}
	server, err := natsembed.Start(opts)
	ok(t, err)
	t.Cleanup(func() { server.Stop() })
	url := server.ClientURL()
	b := newBenchOn(t, server, func(o ...nats.Option) (*nats.Conn, error) {
		return nats.Connect(url, append(o, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))...)
	})
	l := b.newLog(columns, true)
	l.snapshot(1)
	l.write()
	lines, failed, _ := tailing(t, l.open(), client.Beginning(), client.Options{Recheck: time.Hour})
	expect(t, lines, "begin snapshot 0 rows", "commit snapshot 0", "caught up 0_0")
	if _, err := fmt.Sscanf(url[strings.LastIndex(url, ":")+1:], "%d", &opts.Port); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(3) {
		lsn := 100 + i
		back := b.writes.StatusChanged(nats.CONNECTED)
		server.Stop()
		server, err = natsembed.Start(opts)
		ok(t, err)
		<-back
		b.writes.RemoveStatusListener(back)
		b.openAppender()
		// The client may still be away: what is stored now, nobody tells it.
		l.op(lsn, 0, change.Insert, fmt.Sprint(i), "b", "x")
		l.commit(lsn, 2)
		l.write()
		want := []string{
			fmt.Sprintf("begin %d xid %d at %d", lsn, lsn*10, lsn*1000),
			fmt.Sprintf("%d_0 insert id=%d,note=b,part=x", lsn, i),
			fmt.Sprintf("commit %d_2 1", lsn),
		}
		var got []string
		for len(got) < len(want) {
			select {
			case line := <-lines:
				if !strings.HasPrefix(line, "caught up") && !strings.HasPrefix(line, "stalled") {
					got = append(got, line)
				}
			case err := <-failed:
				t.Fatal(err)
			case <-time.After(30 * time.Second):
				t.Fatalf("after restart %d only %q came", i, got)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

func TestControlPlane(t *testing.T) {
	t.Parallel()
	b := newBench(t, natsembed.Options{})
	t.Run("a refusal tells its code and text", func(t *testing.T) {
		_, err := b.client.Create(t.Context(), client.Definition{Table: "nope"})
		var e *client.RequestError
		if !errors.As(err, &e) || e.Code != control.CodeBadRequest || !strings.Contains(err.Error(), "table nope does not exist") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("who waits in vain for a life to be cleared away is told that", func(t *testing.T) {
		b := newBench(t, natsembed.Options{})
		asked := 0
		unanswered := make(chan struct{})
		b.conflict = func() bool {
			if asked++; asked > 1 {
				<-unanswered
			}
			return true
		}
		defer close(unanswered)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := b.client.Create(ctx, client.Definition{Table: "things"})
		var e *client.RequestError
		if !errors.As(err, &e) || e.Code != control.CodeConflict || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("an unknown shape is ErrNotFound", func(t *testing.T) {
		if _, err := b.client.Open(t.Context(), "nope"); !errors.Is(err, client.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a list is read page by page", func(t *testing.T) {
		all, err := b.client.List(t.Context())
		ok(t, err)
		if len(all) != 3 || all[2].ID != "bc" {
			t.Errorf("got %v", all)
		}
	})
	t.Run("a source without a consumer is an error that says what to start", func(t *testing.T) {
		c, err := client.New(b.nc, "other")
		ok(t, err)
		if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "shapebus consumer") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a bad source name is refused", func(t *testing.T) {
		if _, err := client.New(b.nc, "a.b"); err == nil {
			t.Error("it is not")
		}
	})
}
