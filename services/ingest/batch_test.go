package ingest

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/ingest/pgoutput"
)

func drawLimits(t *rapid.T) limits {
	return limits{
		bytes: rapid.SampledFrom([]int{1, 60, 400, 1 << 18}).Draw(t, "fragment bytes"),
		ops:   rapid.SampledFrom([]int{0, 1, 2, 3, 7, 100}).Draw(t, "fragment ops"),
	}
}

func drawLog(t *rapid.T) *simLog {
	return newSimLog(rapid.SampledFrom([]int{80, 300, 1 << 20}).Draw(t, "part bytes"), func() bool { return rapid.Bool().Draw(t, "busy") })
}

func TestBatch(t *testing.T) {
	t.Run("the fragments put together are the transactions", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			wal := drawWAL(t)
			log := drawLog(t)
			if err := log.replay(wal, nil, drawLimits(t)); err != nil {
				t.Fatal(err)
			}
			if err := log.check(wal, false); err != nil {
				t.Fatal(err)
			}
		})
	})
}

func TestResume(t *testing.T) {
	t.Run("after a crash at any message the log goes on without a gap or a repeat", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			wal := drawWAL(t)
			log := drawLog(t)
			if err := log.replay(wal, nil, drawLimits(t)); err != nil {
				t.Fatal(err)
			}
			lim := drawLimits(t)
			late := rapid.Bool().Draw(t, "late")
			for n := range len(log.messages) + 1 {
				l := log.cut(n, late, log.busy)
				from, err := l.tail()
				if err != nil {
					t.Fatalf("after %d messages: %v", n, err)
				}
				if err := l.replay(wal, from, lim); err != nil {
					t.Fatalf("after %d messages: %v", n, err)
				}
				if err := l.check(wal, true); err != nil {
					t.Fatalf("after %d of %d messages: %v", n, len(log.messages), err)
				}
			}
		})
	})
	t.Run("so it does after a crash of what went on after a crash", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			wal := drawWAL(t)
			log := drawLog(t)
			if err := log.replay(wal, nil, drawLimits(t)); err != nil {
				t.Fatal(err)
			}
			for range 5 {
				n := rapid.IntRange(0, len(log.messages)).Draw(t, "cut")
				log = log.cut(n, rapid.Bool().Draw(t, "late"), log.busy)
				from, err := log.tail()
				if err != nil {
					t.Fatal(err)
				}
				if err := log.replay(wal, from, drawLimits(t)); err != nil {
					t.Fatal(err)
				}
				if err := log.check(wal, true); err != nil {
					t.Fatal(err)
				}
			}
		})
	})
}

// Anyone may write messages under the prefix, without a byte in them.
func TestMessagesOfOneTransactionAreBounded(t *testing.T) {
	for _, payload := range []string{"", "x", strings.Repeat("x", 1000)} {
		log := newSimLog(1<<20, func() bool { return false })
		b := newBatch(simSource, limits{bytes: defaultFragmentBytes}, log, nil)
		for lsn := change.LSN(100); lsn < 300; lsn += 100 { // the second has as much room as the first
			before := len(log.messages)
			if err := b.begin(1, lsn, 1, ""); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			for range 1_000_000 {
				if err := b.barrier(true, lsn-1, []byte(payload)); err != nil {
					t.Fatal(err)
				}
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Fatalf("a million messages of %d bytes took %v", len(payload), took)
			}
			if err := b.commit(lsn + 50); err != nil {
				t.Fatal(err)
			}
			if n := len(log.messages) - before; n != barrierBytes/(len(payload)+64) {
				t.Errorf("a transaction holds %d messages of %d bytes", n, len(payload))
			}
		}
	}
}

func BenchmarkBatch(b *testing.B) {
	log := newSimLog(1<<20, func() bool { return false })
	batch := newBatch(simSource, limits{bytes: defaultFragmentBytes}, discardLog{log}, nil)
	rel := &change.Relation{OID: 7, Schema: "public", Name: "items", Identity: change.IdentityFull}
	for _, c := range []string{"id", "a", "b", "c", "d"} {
		rel.Columns = append(rel.Columns, change.Column{Name: c, Type: 25, TypeMod: -1})
	}
	if err := batch.relation(rel); err != nil {
		b.Fatal(err)
	}
	if err := batch.begin(1, 1, 1, ""); err != nil {
		b.Fatal(err)
	}
	var d pgoutput.Decoder
	data := insertMessage(7, "123456", "246912", "some text of the row 123456", "2026-11-22 10:36:33.123456+00", "185184.0")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Decode(data); err != nil {
			b.Fatal(err)
		}
		if err := batch.row(d.OID, &d.Op); err != nil {
			b.Fatal(err)
		}
	}
}

// discardLog builds messages and forgets them.
type discardLog struct{ *simLog }

func (l discardLog) fragment(_ *table, head *change.Fragment, ops *wire.FragmentBuilder, _ bool) error {
	l.body.Add(head, ops)
	l.body.Reset()
	return nil
}

// insertMessage is what a walsender sends of an inserted row.
func insertMessage(oid uint32, values ...string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{'I'}, oid)
	b = binary.BigEndian.AppendUint16(append(b, 'N'), uint16(len(values)))
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(append(b, 't'), uint32(len(v)))
		b = append(b, v...)
	}
	return b
}
