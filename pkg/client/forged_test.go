package client_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/natsembed"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// forged is a live message that somebody else than the server has sent. It fits behind what was
// read by its size, so nothing tells it from a true one before the next comes.
type forged struct {
	seq   uint64
	at    string // Nats-Time-Stamp
	lsn   uint64 // of a whole transaction in it, 0 if there is none
	value string // in that transaction's row
	end   string // the reason of an end in it
	part  string // Sb-Part
}

func (f forged) send(t *testing.T, l *shapeLog) {
	t.Helper()
	tail, b := l.sent, wire.NewLogBuilder()
	if f.lsn > 0 {
		b.Op(&change.Fragment{LSN: change.LSN(f.lsn), XID: 9}, 0, change.Insert, values([]string{"9", f.value, "x"}), []int{0, 1, 2})
		b.Commit(&change.Fragment{LSN: change.LSN(f.lsn), XID: 9, Last: true, End: 2})
		tail.Last = change.Offset{LSN: change.LSN(f.lsn), Op: 2}
		tail.Committed = tail.Last
	}
	if f.end != "" {
		b.End(f.end)
		tail.Ended = true
	}
	data := b.Finish()
	tail.Bytes += int64(len(data))
	st, err := l.js.Stream(t.Context(), source.ShapeStream(0))
	ok(t, err)
	newest, err := st.GetLastMsgForSubject(t.Context(), l.subject())
	ok(t, err)
	m := nats.NewMsg(source.LiveSubject(0, l.info.Handle))
	m.Data = data
	m.Header.Set(jetstream.SequenceHeader, strconv.FormatUint(f.seq, 10))
	m.Header.Set(jetstream.LastSequenceHeader, strconv.FormatUint(newest.Sequence, 10))
	m.Header.Set(topology.HeaderTail, tail.String())
	if f.at != "" {
		m.Header.Set(jetstream.TimeStampHeaer, f.at)
	}
	if f.part != "" {
		m.Header.Set(topology.HeaderPart, f.part)
	}
	ok(t, l.writes.PublishMsg(m))
	ok(t, l.writes.Flush())
}

// Whatever one live message says in any of its fields, a reader is not silent behind it: it goes
// on with what the log holds, or ends with an error that says that the log does not hold what it
// was told.
func TestOneForgedMessageSilencesNobody(t *testing.T) {
	b := newBench(t, natsembed.Options{})
	opts := client.Options{Recheck: 100 * time.Millisecond, Patience: 300 * time.Millisecond}
	const future = "2999-01-01T00:00:00Z"
	large := strings.Repeat("v", 100_000) // so that the log needs long to be as large as it claims
	for name, f := range map[string]forged{
		"the last sequence, and a transaction at the last LSN": {seq: math.MaxUint64, lsn: math.MaxUint64, value: large},
		"the same, stored in the future":                       {seq: math.MaxUint64, lsn: math.MaxUint64, value: large, at: future},
		"the last LSN, under a sequence soon to come":          {seq: 30, lsn: math.MaxUint64, value: large, at: future},
		"the last sequence, and the transaction that is next":  {seq: math.MaxUint64, lsn: 103, value: "v"},
		"an end":                        {seq: math.MaxUint64, end: "forged"},
		"an end that is next":           {seq: 0, end: "forged"},
		"a part without the rest":       {seq: math.MaxUint64, lsn: math.MaxUint64, value: large, part: "0/2"},
		"a part of very many":           {seq: math.MaxUint64, lsn: math.MaxUint64, part: "0/4294967295"},
		"the last sequence and nothing": {seq: math.MaxUint64},
	} {
		t.Run(name, func(t *testing.T) {
			l, lines, failed := started(t, b, opts)
			if f.seq == 0 {
				st, err := b.js.Stream(t.Context(), source.ShapeStream(0))
				ok(t, err)
				newest, err := st.GetLastMsgForSubject(t.Context(), l.subject())
				ok(t, err)
				f.seq = newest.Sequence + 1
			}
			f.send(t, l)
			seen := map[string]bool{}
			deadline, tick := time.After(30*time.Second), time.NewTicker(10*time.Millisecond)
			defer tick.Stop()
			lsn := uint64(103)
			for !seen[fmt.Sprintf("commit %d_2 1", lsn-2)] || lsn < 113 {
				select {
				case line, more := <-lines:
					if seen[line] = true; !more {
						lines = nil
					}
				case err := <-failed:
					var refetch *client.MustRefetchError
					if !errors.As(err, &refetch) || refetch.Reason == "forged" || f.lsn == 0 || context.Cause(t.Context()) != nil {
						t.Fatalf("ended with %v", err)
					}
					return // what was shown was never in the log, and the app is told to fetch again
				case <-tick.C: // the shape is never at rest
					l.insert(lsn)
					lsn++
				case <-deadline:
					t.Fatal("it is silent")
				}
			}
			if f.lsn == 0 && seen["forged"] {
				t.Error("shows what is not in the log")
			}
		})
	}
}
