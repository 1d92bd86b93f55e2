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
	aborts := 0
	rapid.Check(t, func(t *rapid.T) {
		h := histories.Draw(t, "history")
		l := b.newLog(columns, true)
		h.write(l, func() bool { return rapid.IntRange(0, 2).Draw(t, "cut") == 0 }, func() bool { return rapid.IntRange(0, 9).Draw(t, "big") == 0 })
		s := l.open()
		opts := client.Options{Buffer: rapid.SampledFrom([]int{1, 5000, 1 << 20}).Draw(t, "buffer")}
		check := func(from client.Position, at *change.Offset) {
			got, n, err := counting(short(backlog(b.tb, s, from, opts)))
			if aborts += n; err != nil {
				t.Fatalf("from %s: %v", from, err)
			}
			if diff := cmp.Diff(h.after(at), got, equalEmpty); diff != "" {
				t.Fatalf("from %s: %s", from, diff)
			}
		}
		check(client.Beginning(), nil)
		check(l.after(change.Offset{}), &change.Offset{})
		for _, tx := range h.stretches {
			if tx.aborted {
				continue
			}
			for _, op := range append(tx.ops, tx.marker) {
				at := op.at()
				check(l.after(at), &at)
			}
		}
	})
	t.Logf("%d aborts", aborts)
	if aborts < 10 {
		t.Error("hardly anything aborted was handed out")
	}
}

var equalEmpty = cmp.Transformer("", func(s []string) string { return strings.Join(s, "\n") })

func TestReadWhileItIsWritten(t *testing.T) {
	b := newBench(t, natsembed.Options{MaxPayload: smallPayload})
	read := func(t *rapid.T, buffer int, slow bool) (gaps int) {
		h := histories.Draw(t, "history")
		l := b.newLog(columns, true)
		lines, failed, stop := tailing(b.tb, l.open(), client.Beginning(), client.Options{Buffer: buffer})
		defer stop()
		// Drawn before, because only this goroutine may.
		cuts := rapid.SliceOfN(rapid.IntRange(0, 2), 1, 20).Draw(t, "cuts")
		cut := func() bool {
			first := cuts[0]
			cuts = append(cuts[1:], first)
			return first > 0
		}
		written := make(chan struct{})
		go func() {
			defer close(written)
			h.write(l, cut, func() bool { return false })
		}()
		want := h.after(nil)
		var got, all []string
		for i := 0; len(got) < len(want); i++ {
			if slow && i == 1 {
				<-written // the reader stands still meanwhile
			}
			select {
			case line := <-lines:
				if strings.HasPrefix(line, "caught up") {
					gaps++
					break
				}
				all = append(all, line)
				if !strings.HasPrefix(line, "commit") {
					break
				}
				var err error
				if got, _, err = counting(all); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want[:min(len(got), len(want))], got, equalEmpty); diff != "" {
					t.Fatal(diff)
				}
			case err := <-failed:
				t.Fatal(err)
			case <-time.After(20 * time.Second):
				t.Fatalf("does not go on behind %q; want %q", all, want)
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
	if got := backlog(t, l.open(), l.after(change.Offset{}), client.Options{}); len(got) != 0 {
		t.Fatalf("parts of a message give %q", got)
	}
	// A reader that comes now, before its successor, begins at the parts.
	second, _, _ := tailing(t, l.open(), l.after(change.Offset{}), client.Options{})
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
			for e, err := range s.Subscribe(client.Beginning(), client.Options{Buffer: buffer}).Events(t.Context()) {
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
	count(s.Subscribe(client.Beginning(), client.Options{Buffer: buffer}).Events(t.Context()))
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
