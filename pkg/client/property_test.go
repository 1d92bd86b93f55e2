package client_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/natsembed"
)

// transaction is one of a random history, which the tests' writer lays out in
// messages as it likes.
type transaction struct {
	lsn uint64
	ops []uint64 // indexes
	end uint64
}

type history struct {
	snapshot int
	txns     []transaction
}

var histories = rapid.Custom(func(t *rapid.T) history {
	h := history{snapshot: rapid.IntRange(0, 5).Draw(t, "snapshot rows")}
	lsn := uint64(100)
	for range rapid.IntRange(0, 5).Draw(t, "transactions") {
		lsn += rapid.Uint64Range(1, 50).Draw(t, "distance")
		tx := transaction{lsn: lsn}
		at := uint64(0)
		for range rapid.IntRange(0, 8).Draw(t, "ops") {
			at += rapid.Uint64Range(1, 4).Draw(t, "step")
			tx.ops = append(tx.ops, at)
		}
		tx.end = at + 2
		h.txns = append(h.txns, tx)
	}
	return h
})

// after is what a reader must get behind an offset; nil means all.
func (h history) after(from *change.Offset) []string {
	var want []string
	if from == nil {
		want = append(want, fmt.Sprintf("begin snapshot %d rows", h.snapshot))
		for i := range h.snapshot {
			want = append(want, fmt.Sprintf("0_0 insert id=%d,note=s,part=x", i))
		}
		want = append(want, fmt.Sprintf("commit snapshot %d", h.snapshot))
		from = &change.Offset{}
	}
	for _, tx := range h.txns {
		marker := change.Offset{LSN: change.LSN(tx.lsn), Op: tx.end}
		if !from.Before(marker) {
			continue
		}
		want = append(want, fmt.Sprintf("begin %d xid %d at %d", tx.lsn, tx.lsn*10, tx.lsn*1000))
		n := 0
		for _, index := range tx.ops {
			if at := (change.Offset{LSN: change.LSN(tx.lsn), Op: index}); from.Before(at) {
				want = append(want, fmt.Sprintf("%s insert id=%s,note=n,part=x", at, at))
				n++
			}
		}
		want = append(want, fmt.Sprintf("commit %s %d", marker, n))
	}
	return want
}

// write lays the history out: cut says after which entries a message ends, big
// which rows are larger than a message may be.
func (h history) write(l *shapeLog, cut, big func() bool) {
	rows := make([][]string, h.snapshot)
	for i := range rows {
		rows[i] = []string{fmt.Sprint(i), "s", "x"}
	}
	l.snapshot(2, rows...)
	open := true
	end := func() {
		if open && cut() {
			l.write()
			open = false
		}
	}
	end()
	for _, tx := range h.txns {
		for _, index := range tx.ops {
			note := "n"
			if big() {
				note = strings.Repeat("n", bigValue)
			}
			l.op(tx.lsn, index, change.Insert, fmt.Sprintf("%d_%d", tx.lsn, index), note, "x")
			open = true
			end()
		}
		l.commit(tx.lsn, tx.end)
		open = true
		end()
	}
	if open {
		l.write()
	}
}

// bigValue takes several parts on a server whose messages hold smallPayload.
const (
	smallPayload = 4 << 10
	bigValue     = 9000
)

func short(lines []string) []string {
	for i := range lines {
		lines[i] = strings.Replace(lines[i], "note=nnnn…9000", "note=n", 1)
	}
	return lines
}

func TestResumeFromEveryOffset(t *testing.T) {
	b := newBench(t, natsembed.Options{MaxPayload: smallPayload})
	rapid.Check(t, func(t *rapid.T) {
		h := histories.Draw(t, "history")
		l := b.newLog(columns, true)
		h.write(l, func() bool { return rapid.IntRange(0, 2).Draw(t, "cut") == 0 }, func() bool { return rapid.IntRange(0, 9).Draw(t, "big") == 0 })
		s := l.open()
		opts := client.Options{Buffer: rapid.SampledFrom([]int{1, 5000, 1 << 20}).Draw(t, "buffer")}
		check := func(from client.Position, at *change.Offset) {
			if diff := cmp.Diff(h.after(at), short(backlog(b.tb, s, from, opts)), equalEmpty); diff != "" {
				t.Fatalf("from %s: %s", from, diff)
			}
		}
		check(client.Beginning(), nil)
		check(client.After(change.Offset{}), &change.Offset{})
		for _, tx := range h.txns {
			for _, index := range append(tx.ops, tx.end) {
				at := change.Offset{LSN: change.LSN(tx.lsn), Op: index}
				check(client.After(at), &at)
			}
		}
	})
}

var equalEmpty = cmp.Transformer("", func(s []string) string { return strings.Join(s, "\n") })

func TestReadWhileItIsWritten(t *testing.T) {
	b := newBench(t, natsembed.Options{MaxPayload: smallPayload})
	read := func(t *rapid.T, buffer int, slow bool) (gaps int) {
		h := histories.Draw(t, "history")
		l := b.newLog(columns, true)
		lines, failed, stop := tailing(b.tb, l.open(), client.Beginning(), client.Options{Buffer: buffer})
		defer stop()
		written := make(chan struct{})
		go func() {
			defer close(written)
			h.write(l, func() bool { return true }, func() bool { return false })
		}()
		want := h.after(nil)
		for i := range want {
			if slow && i == 1 {
				<-written // the reader stands still meanwhile
			}
			for took := false; !took; {
				select {
				case line := <-lines:
					took = !strings.HasPrefix(line, "caught up")
					switch {
					case !took:
						gaps++
					case line != want[i]:
						t.Fatalf("got %q, want %q", line, want[i])
					}
				case err := <-failed:
					t.Fatal(err)
				case <-time.After(20 * time.Second):
					t.Fatalf("does not go on; want %q", want[i])
				}
			}
		}
		<-written
		return gaps
	}
	t.Run("a reader that keeps up gets everything once", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) { read(t, 1<<20, false) })
	})
	t.Run("a reader that is told more than it may keep gets everything once", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) { read(t, 150, true) })
	})
	t.Run("a transaction that is larger than the buffer is read from the log", func(t *testing.T) {
		gaps := 0
		rapid.Check(t, func(t *rapid.T) { gaps += read(t, 100, false) })
		t.Logf("%d times", gaps)
		if gaps < 10 {
			t.Error("hardly any gap was repaired")
		}
	})
}

func TestUnfinishedParts(t *testing.T) {
	b := newBench(t, natsembed.Options{MaxPayload: smallPayload})
	l := b.newLog(columns, true)
	l.snapshot(1)
	l.write()
	lines, _, _ := tailing(t, l.open(), client.Beginning(), client.Options{Recheck: 20 * time.Millisecond})
	expect(t, lines, "begin snapshot 0 rows", "commit snapshot 0", "caught up 0_0")
	// A writer dies behind the first two of a message's parts.
	for i := range 2 {
		m := l.sent
		l.part(&m, i, 5, make([]byte, 1000))
	}
	if got := backlog(t, l.open(), client.After(change.Offset{}), client.Options{}); len(got) != 0 {
		t.Fatalf("parts of a message give %q", got)
	}
	// A reader that comes now, before its successor, begins at the parts.
	second, _, _ := tailing(t, l.open(), client.After(change.Offset{}), client.Options{})
	expect(t, second, "caught up 0_0")
	l.op(100, 0, change.Insert, "1", strings.Repeat("v", bigValue), "x")
	l.commit(100, 2)
	l.write()
	want := []string{"begin 100 xid 1000 at 100000", "100_0 insert id=1,note=vvvv…9000,part=x", "commit 100_2 1"}
	expect(t, lines, want...)
	expect(t, second, want...)
}

func TestMemoryIsBoundedWhateverTheTransaction(t *testing.T) {
	url := serverProcess(t)
	b := newBenchOn(t, nil, func(o ...nats.Option) (*nats.Conn, error) { return nats.Connect(url, o...) })
	const ops, perMessage = 200_000, 1000
	l := b.newLog(columns, true)
	l.snapshot(1)
	l.write()
	row := []string{"", strings.Repeat("v", 200), "x"}
	s := l.open()
	var seen, peak atomic.Uint64
	count := func(events func(func(client.Event, error) bool)) {
		seen.Store(0)
		for e, err := range events {
			ok(t, err)
			switch e.(type) {
			case client.Change:
				if n := seen.Add(1); n%20_000 == 0 {
					runtime.GC()
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					peak.Store(max(peak.Load(), m.HeapAlloc))
				}
			case client.Commit:
				if seen.Load() > 0 {
					return
				}
			}
		}
	}
	var base runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&base)
	const buffer = 1 << 20
	live := make(chan struct{})
	ready := make(chan struct{})
	go func() {
		defer close(live)
		count(func(yield func(client.Event, error) bool) {
			for e, err := range s.Subscribe(t.Context(), client.Beginning(), client.Options{Buffer: buffer}).Events() {
				if _, is := e.(client.CaughtUp); is && seen.Load() == 0 {
					close(ready)
				}
				if !yield(e, err) {
					return
				}
			}
		})
	}()
	<-ready
	for i := range uint64(ops) {
		row[0] = fmt.Sprint(i)
		l.op(100, 2*i, change.Insert, row...)
		if i%perMessage == perMessage-1 {
			l.write()
		}
	}
	l.commit(100, 2*ops)
	l.write()
	<-live
	if seen.Load() != ops {
		t.Fatalf("the live reader saw %d ops", seen.Load())
	}
	count(s.Subscribe(t.Context(), client.Beginning(), client.Options{Buffer: buffer}).Events())
	if seen.Load() != ops {
		t.Fatalf("the late reader saw %d ops", seen.Load())
	}
	// The transaction has 45 MB; the writer's window is in this process too.
	grown := int64(peak.Load()) - int64(base.HeapAlloc)
	t.Logf("heap grew by %d KiB at most", grown>>10)
	if grown > 16<<20 {
		t.Errorf("the heap grew by %d MiB while reading a transaction of %d ops", grown>>20, ops)
	}
}
