package stream_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/internal/proptest"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
)

// simMessage is a message of a change log: some ops of one transaction.
type simMessage struct {
	step     stream.Step
	txn      int
	from, to int // ops
}

// simLog is a change log whose server discards its beginning and loses its end,
// and whose writer goes on from what it finds.
type simLog struct {
	txns     []int // the number of ops of each transaction; the LSN of the i-th is 10 * (i + 1)
	messages []simMessage
	next     uint64 // sequence of the next message
	first    uint64
	txn, op  int // the writer's place
	after    change.LSN
}

func lsnOf(txn int) change.LSN { return change.LSN(10 * (txn + 1)) }

func (l *simLog) write(t *rapid.T) {
	if l.txn == len(l.txns) {
		return
	}
	to := rapid.IntRange(l.op+1, l.txns[l.txn]).Draw(t, "to")
	m := simMessage{txn: l.txn, from: l.op, to: to}
	m.step = stream.Step{LSN: lsnOf(l.txn), After: l.after, Told: true, More: to < l.txns[l.txn], First: l.next, Seq: l.next}
	l.messages = append(l.messages, m)
	l.after = m.step.LSN
	l.next++
	if l.op = to; !m.step.More {
		l.txn, l.op = l.txn+1, 0
	}
}

// discard removes messages at the beginning.
func (l *simLog) discard(n int) {
	l.messages = l.messages[min(n, len(l.messages)):]
	l.first = l.next
	if len(l.messages) > 0 {
		l.first = l.messages[0].step.First
	}
}

// lose removes messages at the end, but for the last one, from which the
// writer goes on, and lets the numbers jump.
func (l *simLog) lose(n int, jump uint64) {
	l.messages = l.messages[:max(1, len(l.messages)-n)]
	last := l.messages[len(l.messages)-1]
	l.txn, l.op, l.after = last.txn, last.to, last.step.LSN
	if !last.step.More {
		l.txn, l.op = last.txn+1, 0
	}
	l.next += jump
}

// A reader is told of a loss exactly if there was one, whatever the server
// discards, loses and numbers again. What it is not told of, it has.
func TestPlaceTellsWhatWasLost(t *testing.T) {
	proptest.Checks(t, 2000)
	lost, repeats, jumps := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		log := &simLog{txns: rapid.SliceOfN(rapid.IntRange(1, 6), 1, 20).Draw(t, "transactions"), next: 1, first: 1}
		var at stream.Place
		has := map[string]bool{} // ops
		op := func(txn, n int) string { return fmt.Sprint(txn, "/", n) }
		before := func(m simMessage) (ops []string) {
			for txn := range m.txn {
				for n := range log.txns[txn] {
					ops = append(ops, op(txn, n))
				}
			}
			for n := range m.from {
				ops = append(ops, op(m.txn, n))
			}
			return ops
		}
		jumped := false // numbers have jumped: then it may think so of the rest of a transaction whose beginning is discarded
		read := func() {
			for _, m := range log.messages {
				if m.step.First <= at.Seq {
					continue
				}
				first := uint64(0)
				if m.step.First != at.Seq+1 {
					first = log.first
					jumps++
				}
				missing := ""
				for _, o := range before(m) {
					if !has[o] {
						missing = o
					}
				}
				got := at.Lost(m.step, first)
				switch {
				case missing != "" && got == 0:
					t.Fatalf("at %+v comes %+v (log from %d): op %s is lost silently", at, m.step, log.first, missing)
				case missing == "" && got != 0 && (!jumped || !at.More || got != at.LSN || log.first <= at.Seq+1):
					t.Fatalf("at %+v comes %+v (log from %d): nothing is lost, it says %s", at, m.step, log.first, got)
				}
				if got != 0 {
					lost++
					for _, o := range before(m) { // what needed it has ended
						has[o] = true
					}
				}
				if at.Has(m.step.LSN) {
					repeats++
				}
				for n := m.from; n < m.to; n++ {
					has[op(m.txn, n)] = true
				}
				at = at.Pass(m.step)
				return
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			switch rapid.IntRange(0, 9).Draw(t, "event") {
			case 0:
				if n := rapid.IntRange(0, 5).Draw(t, "discarded"); n > 0 {
					log.discard(n)
				}
			case 1:
				if len(log.messages) > 0 {
					log.lose(rapid.IntRange(1, 5).Draw(t, "lost"), rapid.Uint64Range(1, 9).Draw(t, "jump"))
					jumped = true
				}
			case 2, 3, 4, 5:
				log.write(t)
			default:
				read()
			}
		}
	})
	if few := testing.Short(); !few && (lost == 0 || repeats == 0 || jumps == 0) {
		t.Errorf("%d losses, %d repeats, %d jumps: the test does not test them", lost, repeats, jumps)
	}
}
