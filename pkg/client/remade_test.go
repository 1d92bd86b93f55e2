package client_test

import (
	"fmt"
	"os"
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
	t.Run("who comes later is judged by its offset", func(t *testing.T) {
		b := newBench(t, natsembed.Options{})
		l, _, _ := started(t, b, remadeOptions)
		b.remake(0)
		l.again()
		l.snapshotAt(103, 1, []string{"1", "a", "x"})
		l.write()
		l.insert(104)
		l.insert(105)
		for _, from := range []client.Position{client.After(change.Offset{LSN: 102, Op: 2}), client.After(change.Offset{LSN: 104, Op: 1})} {
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
		v := l.open().Rows(t.Context(), remadeOptions)
		defer v.Close()
		mustRefetch(t, ends(t, v), "gone")
	})
}

// A backup is older than what its readers have read.
func TestTheStoreIsRestoredUnderAReader(t *testing.T) {
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
				rest(t, lines)
				mustRefetch(t, failure(t, failed), "does not have offset 102_2")
			},
		},
		"and the log does not go on": {
			func(*shapeLog) {},
			func(t *testing.T, lines <-chan string, failed <-chan error) {
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
