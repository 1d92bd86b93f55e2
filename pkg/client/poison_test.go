package client_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/natsembed"
	"github.com/shapebus/shapebus/pkg/topology"
)

// Whatever stands in a log, its readers end with an error that says where.
func TestPoison(t *testing.T) {
	t.Parallel()
	b := newBench(t, natsembed.Options{})
	opts := client.Options{Recheck: 50 * time.Millisecond, Patience: 500 * time.Millisecond}
	foreign := func(tail string) func(*shapeLog) {
		return func(l *shapeLog) {
			m := nats.NewMsg(l.subject())
			m.Data = []byte("hello")
			if tail != "" {
				m.Header.Set(topology.HeaderTail, tail)
			}
			_, err := b.js.PublishMsg(context.Background(), m)
			ok(t, err)
			b.app.Close()
			b.openAppender()
		}
	}
	for name, c := range map[string]struct {
		poison func(l *shapeLog)
		says   string
	}{
		"a message that nobody knows": {foreign(""), "Sb-Tail"},
		"a tail that is none":         {foreign("102_2 102_2 live one 1 1"), "Sb-Tail"},
		"a body that is none":         {foreign("102_2 102_2 live 1 1 99999"), "bytes"},
		"a tail of the beginning":     {foreign("0_0 0_0 new 0 0 5"), "new"},
		"a tail without the markers it is on": {func(l *shapeLog) {
			l.op(102, 0, change.Insert, "5", "v", "x")
			l.commit(102, 2)
			l.tail.Committed = change.Offset{LSN: 101, Op: 2}
			l.write()
			l.insert(103)
		}, "102_2"},
		"a log without one of its messages": {func(l *shapeLog) {
			l.insert(102)
			st, err := b.js.Stream(context.Background(), source.ShapeStream(0))
			ok(t, err)
			m, err := st.GetLastMsgForSubject(context.Background(), l.subject())
			ok(t, err)
			ok(t, st.DeleteMsg(context.Background(), m.Sequence))
			l.insert(103)
		}, "bytes"},
	} {
		build := func(t *testing.T) *shapeLog {
			t.Helper()
			l := b.newLog(columns, true)
			l.info.State = control.StateLive
			b.know(l.info)
			l.snapshot(1, []string{"1", "a", "x"})
			l.write()
			l.insert(100)
			l.insert(101)
			return l
		}
		broken := func(t *testing.T, err error) {
			t.Helper()
			var e *client.BrokenLogError
			if !errors.As(err, &e) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want a broken log because of %q", err, c.says)
			}
		}
		t.Run(name+" ends who comes later", func(t *testing.T) {
			l := build(t)
			c.poison(l)
			for _, from := range []client.Position{client.Beginning(), l.after(change.Offset{LSN: 100, Op: 2})} {
				lines, failed, _ := tailing(t, l.open(), from, opts)
				rest(t, lines)
				broken(t, failure(t, failed))
			}
		})
		t.Run(name+" ends who has read all before it", func(t *testing.T) {
			if strings.HasPrefix(name, "a log without") {
				t.Skip("it was told of the message before that was deleted")
			}
			l := build(t)
			v := l.open().View(client.ViewOptions{Options: opts})
			defer v.Close()
			until(t, v, at(101, 2))
			c.poison(l)
			broken(t, ends(t, v))
		})
	}
	t.Run("a snapshot whose rows were removed is fetched again", func(t *testing.T) {
		for _, end := range []bool{false, true} {
			l := b.newLog(columns, true)
			l.snapshot(1, []string{"1", "a", "x"}, []string{"2", "a", "x"})
			l.write()
			st, err := b.js.Stream(t.Context(), source.ShapeStream(0))
			ok(t, err)
			ok(t, st.Purge(t.Context(), jetstream.WithPurgeSubject(source.SegmentSubjects(0, l.info.Handle))))
			reason := "rows of its snapshot were removed"
			if end {
				l.end("the table was dropped")
				l.write()
				reason = "the table was dropped"
			}
			v := l.open().View(client.ViewOptions{Options: opts})
			mustRefetch(t, ends(t, v), reason)
			v.Close()
		}
	})
}

// What comes on core NATS is a hint: the log decides.
func TestWhatIsToldMayBeFalse(t *testing.T) {
	t.Parallel()
	b := newBench(t, natsembed.Options{})
	tell := func(l *shapeLog, seq, previous, tail string, body []byte) {
		m := nats.NewMsg(source.LiveSubject(0, l.info.Handle))
		m.Header.Set(jetstream.SequenceHeader, seq)
		m.Header.Set(jetstream.LastSequenceHeader, previous)
		m.Header.Set(topology.HeaderTail, tail)
		m.Data = body
		ok(t, b.writes.PublishMsg(m))
		ok(t, b.writes.Flush())
	}
	const last = "18446744073709551615"
	for name, m := range map[string][3]string{
		"a message far ahead":              {last, "18446744073709551614", "900_2 900_2 live 1 1 99999"},
		"a message far ahead that follows": {last, "0", "900_2 900_2 live 1 1 99999"},
		"a message far ahead, at rest":     {last, "0", "102_2 102_2 live 1 1 99999"},
		"an end":                           {last, "0", "102_2 102_2 ended 1 1 99999"},
	} {
		t.Run(name+" silences nobody", func(t *testing.T) {
			l, lines, failed := started(t, b, client.Options{Recheck: time.Second, Patience: 2 * time.Second})
			l.op(103, 0, change.Insert, "103", "v", "x")
			l.write() // its transaction is open
			tell(l, m[0], m[1], m[2], []byte{1})
			l.commit(103, 2)
			l.write()
			next(t, lines, failed, inserted(103)...)
			for lsn := range uint64(5) {
				tell(l, m[0], m[1], m[2], []byte{1})
				l.insert(104 + lsn)
				next(t, lines, failed, inserted(104+lsn)...)
			}
		})
	}
	t.Run("a marker that is not stored shows nothing", func(t *testing.T) {
		l, lines, failed := started(t, b, client.Options{Recheck: 50 * time.Millisecond, Patience: 200 * time.Millisecond})
		l.op(103, 0, change.Insert, "103", "v", "x")
		l.write()
		tell(l, last, "18446744073709551614", "900_2 900_2 live 1 1 99999", []byte{1})
		quiet := time.After(time.Second)
		for waiting := true; waiting; {
			select {
			case line := <-lines:
				if !strings.HasPrefix(line, "caught up") {
					t.Fatalf("shows %q", line)
				}
			case err := <-failed:
				t.Fatal(err)
			case <-quiet:
				waiting = false
			}
		}
		l.commit(103, 2)
		l.write()
		next(t, lines, failed, inserted(103)...)
	})
}
