package client_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/natsembed"
)

// started is a log of a snapshot and the transactions 100, 101 and 102, and a reader that has
// read them.
func started(t *testing.T, b *bench, opts client.Options) (l *shapeLog, lines <-chan string, failed <-chan error) {
	t.Helper()
	l = b.newLog(columns, true)
	l.info.State = control.StateLive
	b.know(l.info)
	l.snapshot(1, []string{"1", "a", "x"})
	l.write()
	for lsn := range uint64(3) {
		l.insert(100 + lsn)
	}
	lines, failed, _ = tailing(t, l.open(), client.Beginning(), opts)
	next(t, lines, failed, "begin snapshot 1 rows", "0_0 insert id=1,note=a,part=x", "commit snapshot 1")
	for lsn := range uint64(3) {
		next(t, lines, failed, inserted(100+lsn)...)
	}
	expect(t, lines, "caught up 102_2")
	return l, lines, failed
}

var remadeOptions = client.Options{Recheck: 50 * time.Millisecond, Patience: time.Second}

// Sequence numbers mean nothing in another stream of the same name; offsets do.
func TestTheStreamIsMadeAgainUnderAReader(t *testing.T) {
	t.Parallel()
	for _, others := range []int{0, 2, 3, 4, 50} {
		t.Run(fmt.Sprintf("the log is there again behind %d messages", others), func(t *testing.T) {
			b := newBench(t, natsembed.Options{})
			l, lines, failed := started(t, b, remadeOptions)
			b.remake(others)
			l.again()
			l.snapshot(1, []string{"1", "a", "x"})
			for lsn := range uint64(3) {
				l.op(100+lsn, 0, change.Insert, fmt.Sprint(100+lsn), "v", "x")
				l.commit(100+lsn, 2)
			}
			l.write()
			l.insert(103)
			next(t, lines, failed, inserted(103)...)
			l.insert(104)
			next(t, lines, failed, inserted(104)...)
		})
		t.Run(fmt.Sprintf("the shape begins again behind %d messages", others), func(t *testing.T) {
			b := newBench(t, natsembed.Options{})
			l, lines, failed := started(t, b, remadeOptions)
			b.remake(others)
			l.again()
			l.snapshotAt(103, 1, []string{"1", "a", "x"})
			l.write()
			for lsn := range uint64(6) {
				l.insert(104 + lsn)
			}
			for _, line := range rest(t, lines) {
				if !strings.HasPrefix(line, "caught up") {
					t.Errorf("shows %q", line)
				}
			}
			mustRefetch(t, failure(t, failed), "made again")
		})
		t.Run(fmt.Sprintf("the consumer has ended the shape behind %d messages", others), func(t *testing.T) {
			b := newBench(t, natsembed.Options{})
			l, lines, failed := started(t, b, client.Options{Recheck: 50 * time.Millisecond, Patience: time.Hour})
			b.remake(others)
			l.again()
			l.end("its log was lost")
			l.write()
			rest(t, lines)
			mustRefetch(t, failure(t, failed), "its log was lost")
		})
	}
	t.Run("the reader notices before the consumer that the log is gone", func(t *testing.T) {
		b := newBench(t, natsembed.Options{})
		_, lines, failed := started(t, b, remadeOptions)
		b.remake(50)
		rest(t, lines)
		mustRefetch(t, failure(t, failed), "gone")
	})
	t.Run("a reader in the middle of a transaction takes it back", func(t *testing.T) {
		b := newBench(t, natsembed.Options{})
		l := b.newLog(columns, true)
		l.info.State = control.StateLive
		b.know(l.info)
		write := func(apart bool) {
			l.snapshot(1, []string{"1", "a", "x"})
			l.write()
			l.insert(100)
			for i := range uint64(6) {
				l.op(101, 2*i, change.Insert, fmt.Sprint(i), "v", "x")
				if apart {
					l.write()
				}
			}
			l.commit(101, 12)
			l.write()
		}
		write(true)
		opts := remadeOptions
		opts.Buffer = 1 // one message at a time
		lines, failed, _ := tailing(t, l.open(), l.after(change.Offset{LSN: 100, Op: 2}), opts)
		want := []string{"begin 101 xid 1010 at 101000"}
		for i := range uint64(6) {
			want = append(want, fmt.Sprintf("101_%d insert id=%d,note=v,part=x", 2*i, i))
		}
		want = append(want, "commit 101_12 6")
		next(t, lines, failed, want[:2]...)
		b.remake(3)
		l.again()
		write(false)
		got := append([]string{}, want[:2]...)
		for got[len(got)-1] != want[len(want)-1] {
			select {
			case line, more := <-lines:
				if !more {
					t.Fatal(<-failed)
				}
				got = append(got, line)
			case <-time.After(60 * time.Second):
				t.Fatalf("stands still behind %q", got)
			}
		}
		counts, aborts, err := counting(got)
		if err != nil || aborts != 1 || !slices.Equal(counts, want) {
			t.Errorf("got %q, %v", got, err)
		}
	})
	t.Run("rows of two snapshots are not taken for one", func(t *testing.T) {
		b := newBench(t, natsembed.Options{})
		l := b.newLog(columns, true)
		l.info.State = control.StateLive
		b.know(l.info)
		write := func(lsn uint64, note string) {
			var rows [][]string
			for i := range 40 {
				rows = append(rows, []string{fmt.Sprint(i), note, "x"})
			}
			l.snapshotAt(lsn, 1, rows...)
			l.write()
		}
		write(50, "old")
		opts := remadeOptions
		opts.Buffer = 1 // one message at a time
		lines, failed, _ := tailing(t, l.open(), client.Beginning(), opts)
		next(t, lines, failed, "begin snapshot 40 rows", "0_0 insert id=0,note=old,part=x")
		b.remake(0)
		l.again()
		write(90, "new")
		for _, line := range rest(t, lines) {
			if strings.HasPrefix(line, "commit") {
				t.Errorf("shows %q", line)
			}
		}
		mustRefetch(t, failure(t, failed), "made again while its snapshot was read")
	})
	t.Run("who comes later is judged by its offset", func(t *testing.T) {
		b := newBench(t, natsembed.Options{})
		l, _, _ := started(t, b, remadeOptions)
		b.remake(0)
		l.again()
		l.snapshotAt(103, 1, []string{"1", "a", "x"})
		l.write()
		l.insert(104)
		l.insert(105)
		for _, from := range []client.Position{l.after(change.Offset{LSN: 102, Op: 2}), l.after(change.Offset{LSN: 104, Op: 1})} {
			lines, failed, _ := tailing(t, l.open(), from, remadeOptions)
			for _, line := range rest(t, lines) {
				if strings.HasPrefix(line, "commit") {
					t.Errorf("from %s: %q", from, line)
				}
			}
			mustRefetch(t, failure(t, failed), "does not have offset")
		}
	})
	t.Run("a view from the beginning does not wait for a log that is gone", func(t *testing.T) {
		b := newBench(t, natsembed.Options{})
		l, _, _ := started(t, b, remadeOptions)
		b.remake(0)
		v := l.open().View(client.ViewOptions{Options: remadeOptions})
		defer v.Close()
		mustRefetch(t, ends(t, v), "gone")
	})
}

// A backup is older than what its readers have read.
func TestTheStoreIsRestoredUnderAReader(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		goOn func(l *shapeLog) // behind transaction 101
		want func(t *testing.T, lines <-chan string, failed <-chan error)
	}{
		"and the log goes on as it did": {
			func(l *shapeLog) {
				for lsn := range uint64(10) {
					l.insert(102 + lsn)
				}
			},
			func(t *testing.T, lines <-chan string, failed <-chan error) {
				t.Helper()
				for lsn := range uint64(9) {
					next(t, lines, failed, inserted(103+lsn)...)
				}
			},
		},
		"and the log goes on without what was read": {
			func(l *shapeLog) {
				for lsn := range uint64(10) {
					l.insert(103 + lsn)
				}
			},
			func(t *testing.T, lines <-chan string, failed <-chan error) {
				t.Helper()
				rest(t, lines)
				mustRefetch(t, failure(t, failed), "does not have offset 102_2")
			},
		},
		"and the log does not go on": {
			func(*shapeLog) {},
			func(t *testing.T, lines <-chan string, failed <-chan error) {
				t.Helper()
				rest(t, lines)
				mustRefetch(t, failure(t, failed), "ends at offset 101_2")
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() {
				t.Skip("needs JetStream; not in -short")
			}
			opts := natsembed.Options{Dir: t.TempDir(), Port: -1}
			server, err := natsembed.Start(opts)
			ok(t, err)
			defer func() { server.Stop() }()
			url := server.ClientURL()
			_, err = fmt.Sscanf(url[strings.LastIndex(url, ":")+1:], "%d", &opts.Port)
			ok(t, err)
			b := newBenchOn(t, nil, func(o ...nats.Option) (*nats.Conn, error) {
				return nats.Connect(url, append(o, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))...)
			})
			restart := func(between func()) {
				b.app.Close()
				back, seen := b.writes.StatusChanged(nats.CONNECTED), b.nc.StatusChanged(nats.CONNECTED)
				server.Stop()
				between()
				server, err = natsembed.Start(opts)
				ok(t, err)
				<-back
				<-seen
				b.openAppender()
			}
			l := b.newLog(columns, true)
			l.info.State = control.StateLive
			b.know(l.info)
			l.snapshot(1, []string{"1", "a", "x"})
			l.write()
			l.insert(100)
			l.insert(101)
			backup := t.TempDir()
			restart(func() { ok(t, os.CopyFS(backup, os.DirFS(opts.Dir))) })
			saved := l.tail
			l.insert(102)
			lines, failed, _ := tailing(t, l.open(), client.Beginning(), client.Options{Recheck: 50 * time.Millisecond, Patience: 3 * time.Second})
			next(t, lines, failed, "begin snapshot 1 rows", "0_0 insert id=1,note=a,part=x", "commit snapshot 1")
			for lsn := range uint64(3) {
				next(t, lines, failed, inserted(100+lsn)...)
			}
			restart(func() {
				ok(t, os.RemoveAll(opts.Dir))
				ok(t, os.CopyFS(opts.Dir, os.DirFS(backup)))
			})
			l.tail, l.sent = saved, saved
			c.goOn(l)
			c.want(t, lines, failed)
		})
	}
}

// Whatever the second incarnation of a log has in common with the first, a reader goes on behind its
// last commit, if the second has that too, or must fetch again.
func TestAnyLogUnderAReader(t *testing.T) {
	t.Parallel()
	b := newBench(t, natsembed.Options{MaxPayload: smallPayload})
	went, refetched := 0, 0
	for seed := range 60 {
		h := lives.Example(seed)
		src := rand.New(rand.NewPCG(1, uint64(seed)))
		cut := func() bool { return src.IntN(2) == 0 }
		l := b.newLog(columns, true)
		l.info.State = control.StateLive
		b.know(l.info)
		h[0].write(l, cut, func() bool { return false })
		lines, failed, stop := tailing(t, l.open(), client.Beginning(), client.Options{Recheck: 20 * time.Millisecond, Patience: 600 * time.Millisecond})
		var got []string
		for line := range lines {
			if got = append(got, line); strings.HasPrefix(line, "caught up") {
				break
			}
		}
		at := change.Offset{}
		if last := h[0].committed(); last != nil {
			at = *last
		}
		b.remake(src.IntN(5))
		l.again()
		l.b.Reset()
		h[1].write(l, cut, func() bool { return src.IntN(5) == 0 })
		var want []string
		if h[1].commits(at) {
			want = h[1].after(&at)
			// One more, so that there is an end to wait for.
			lsn := uint64(5000)
			l.unit = false
			if h[1].open.unit || len(h[1].open.ops) > 0 {
				l.abort()
			}
			l.insert(lsn)
			want = append(want, inserted(lsn)...)
			got = got[:0]
			deadline := time.After(60 * time.Second)
			for done := false; !done; {
				select {
				case line, more := <-lines:
					if !more {
						t.Fatalf("seed %d: ended with %v", seed, <-failed)
					}
					if !strings.HasPrefix(line, "caught up") {
						got = append(got, line)
					}
					done = line == want[len(want)-1]
				case <-deadline:
					t.Fatalf("seed %d: stands still behind %q, want %q", seed, got, want)
				}
			}
			if counts, _, err := counting(short(got)); err != nil || !slices.Equal(counts, want) {
				t.Fatalf("seed %d: behind %s got %q %v, want %q", seed, at, counts, err, want)
			}
			went++
		} else {
			for _, line := range rest(t, lines) {
				if strings.HasPrefix(line, "commit") {
					t.Fatalf("seed %d: shows %q", seed, line)
				}
			}
			mustRefetch(t, failure(t, failed), "offset")
			refetched++
		}
		stop()
	}
	t.Logf("%d went on, %d had to fetch again", went, refetched)
	if went < 10 || refetched < 10 {
		t.Error("hardly any of one kind")
	}
}

// A reader that follows a log live is told all it needs. One direct get a message
// would cost a server with thousands of readers more than it does itself.
func TestWhoFollowsLiveDoesNotAskTheLog(t *testing.T) {
	b := newBench(t, natsembed.Options{})
	l, lines, failed := started(t, b, client.Options{Recheck: time.Hour})
	gets, err := b.writes.SubscribeSync("$JS.API.DIRECT.GET.>")
	ok(t, err)
	ok(t, b.writes.Flush())
	const messages = 50
	for i := range uint64(messages) {
		l.insert(103 + i)
		next(t, lines, failed, inserted(103+i)...)
	}
	ok(t, b.writes.Flush())
	asked, _, err := gets.Pending()
	ok(t, err)
	if asked > messages/10 { // one now and then, as when it was told late
		t.Errorf("%d messages came live, and the log was asked %d times", messages, asked)
	}
}
