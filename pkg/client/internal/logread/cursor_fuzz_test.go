package logread

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client/event"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// fuzzLogs are bodies of log messages to start from.
func fuzzLogs() [][]byte {
	row := change.Row{[]byte("1"), []byte("v")}
	build := func(f func(b *wire.LogBuilder)) []byte {
		b := wire.NewLogBuilder()
		f(b)
		return b.Finish()
	}
	op := func(b *wire.LogBuilder, lsn, index uint64, kind change.Kind) {
		project := []int{0, 1}
		if kind == change.Delete || kind == change.Discard {
			project = project[:1]
		}
		b.Op(&change.Fragment{LSN: change.LSN(lsn), XID: 7}, index, kind, row, project)
	}
	commit := func(b *wire.LogBuilder, lsn, end uint64) {
		b.Commit(&change.Fragment{LSN: change.LSN(lsn), XID: 7, Last: true, End: end})
	}
	return [][]byte{
		build(func(b *wire.LogBuilder) {
			b.Segment(0, 1, 1, change.Snapshot{LSN: 5})
			commit(b, 6, 0)
		}),
		build(func(b *wire.LogBuilder) {
			op(b, 10, 0, change.Insert)
			op(b, 10, 2, change.Delete)
			commit(b, 10, 4)
			op(b, 12, 0, change.Update)
		}),
		build(func(b *wire.LogBuilder) {
			b.Unit = true
			op(b, 10, 0, change.Upsert)
			op(b, 14, 0, change.Discard)
			b.Abort()
			op(b, 10, 0, change.Discard)
			commit(b, 12, 4)
			b.Unit = false
			op(b, 12, 6, change.Insert)
			commit(b, 12, 8)
		}),
		build(func(b *wire.LogBuilder) { b.End("over") }),
	}
}

// Whatever the messages say, the cursor ends with an error or hands out
// transactions that are whole or taken back, none of them beyond what counts.
func FuzzCursor(f *testing.F) {
	logs := fuzzLogs()
	for _, body := range logs {
		f.Add(logs[0], body, "0_0 0_0 live 1 1 0", "12_8 12_8 live -1 -1 9 11", uint64(0))
		f.Add(body, body, "12_4 12_4 live 1 1 0", "20_0 14_0 live 1 1 0", uint64(10))
	}
	f.Add(logs[2], logs[3], "10_0 0_0 live 1 1 0", "12_8 12_8 ended 1 1 0", uint64(10))
	layout := event.NewLayout([]control.Column{{Name: "id", Key: true}, {Name: "v"}})
	f.Fuzz(func(t *testing.T, first, second []byte, firstTail, secondTail string, from uint64) {
		var open bool
		var tail wire.Tail
		var changes uint64
		last := change.Offset{LSN: change.LSN(from)} // of the last commit
		at := last
		check := func(e event.Event) error {
			switch e := e.(type) {
			case event.Begin:
				if open {
					t.Fatal("a Begin inside a transaction")
				}
				open, changes, at = true, 0, last
			case event.Change:
				changes++
				if !open || !e.Offset.IsZero() && (e.Offset.Compare(at) <= 0 || tail.Committed.Before(e.Offset)) {
					t.Fatalf("change %s behind %s, and the log counts up to %s; open: %t", e.Offset, at, tail.Committed, open)
				}
				at = e.Offset
			case event.Commit:
				if !open || changes != e.Changes || !e.Snapshot && (e.Offset.Compare(at) <= 0 || tail.Committed.Before(e.Offset)) {
					t.Fatalf("%+v behind %s, and the log counts up to %s; open: %t, %d changes", e, at, tail.Committed, open, changes)
				}
				if open = false; !e.Snapshot {
					last = e.Offset
				}
			case event.Abort:
				if !open || e.Offset != last {
					t.Fatalf("%+v behind the commit at %s, open: %t", e, last, open)
				}
				open = false
			}
			return nil
		}
		c := &cursor{handle: "h", layout: layout, emit: check, began: from > 0, pos: last, base: last, bottom: from == 0}
		c.rows = func(e wire.Entry, f func(change.Row) error) error {
			for range min(e.Rows, 3) {
				if err := f(change.Row{[]byte("1"), nil}); err != nil {
					return err
				}
			}
			return nil
		}
		for i, m := range []struct {
			body []byte
			tail string
		}{{first, firstTail}, {second, secondTail}} {
			now, err := wire.ParseTail(m.tail)
			if err != nil || now.Committed.Before(tail.Committed) {
				return
			}
			now.Bytes = tail.Bytes + int64(len(m.body)) // else it ends there
			tail = now
			take := func() error {
				if c.holding() {
					return c.broken(c.pos, "it stands open")
				}
				return c.take(raw{seq: uint64(i) + 1, header: nats.Header{topology.HeaderTail: {now.String()}}, data: m.body})
			}
			advance := func() error {
				if !c.holding() {
					return nil
				}
				return c.advance(tail)
			}
			// As a reader does it: what is held goes on before the next is taken.
			for _, step := range []func() error{advance, take, advance} {
				if !c.due(tail) {
					break
				}
				if err := step(); err != nil {
					mustBeKnown(t, err)
					return
				}
			}
		}
	})
}

func mustBeKnown(t *testing.T, err error) {
	t.Helper()
	var refetch *event.MustRefetchError
	var broken *event.BrokenLogError
	var permanent *event.PermanentError
	if !errors.As(err, &refetch) && !errors.As(err, &broken) && !errors.As(err, &permanent) && !strings.Contains(err.Error(), "upgrade") {
		t.Fatal(err)
	}
}
