package ingest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/ingest/tail"
)

const simSource = topology.Source("sim")

// simTxn is one thing in the WAL: a transaction, or a barrier outside of one.
type simTxn struct {
	xid      change.XID
	lsn, end change.LSN
	steps    []simStep
	barriers []string // transactional ones
	barrier  string   // not transactional: then there is nothing else, and its record ends at end
}

// simStep is one row, or the truncation of one or more tables.
type simStep struct {
	rel      []*change.Relation // one, or those truncated
	op       change.Op
	truncate bool
}

// simRelation is version v of a table's schema; every other one is a rename.
func simRelation(oid uint32, v int) *change.Relation {
	r := &change.Relation{OID: oid, Schema: "s", Name: fmt.Sprintf("t%d_%d", oid, v/2), Identity: change.IdentityFull}
	for c := range 1 + v%2 {
		r.Columns = append(r.Columns, change.Column{Name: fmt.Sprintf("c%d", c), Type: 25, TypeMod: -1})
	}
	return r
}

// drawWAL makes a random history.
func drawWAL(t *rapid.T) []simTxn {
	versions := map[uint32]int{}
	lsn := change.LSN(1000)
	value := rapid.Custom(func(t *rapid.T) []byte {
		switch rapid.IntRange(0, 9).Draw(t, "value") {
		case 0:
			return nil
		case 1:
			return []byte{}
		case 2: // larger than a message
			return bytes.Repeat([]byte{'L'}, rapid.IntRange(100, 900).Draw(t, "size"))
		}
		return []byte(fmt.Sprint(rapid.IntRange(0, 1e6).Draw(t, "number")))
	})
	row := func(r *change.Relation) change.Row {
		row := make(change.Row, len(r.Columns))
		for i := range row {
			row[i] = value.Draw(t, "v")
		}
		return row
	}
	wal := make([]simTxn, rapid.IntRange(1, 6).Draw(t, "transactions"))
	for i := range wal {
		// A record begins where the one before ends, or further on.
		lsn += change.LSN(rapid.IntRange(0, 50).Draw(t, "distance"))
		x := &wal[i]
		*x = simTxn{xid: change.XID(700 + i), lsn: lsn, end: lsn + change.LSN(rapid.IntRange(2, 9).Draw(t, "size"))}
		lsn = x.end
		if rapid.IntRange(0, 7).Draw(t, "kind") == 0 {
			x.barrier = fmt.Sprintf("plain %d", i)
			continue
		}
		tables := rapid.IntRange(1, 3).Draw(t, "tables")
		for range rapid.IntRange(0, 12).Draw(t, "steps") {
			oid := uint32(rapid.IntRange(1, tables).Draw(t, "table"))
			if rapid.IntRange(0, 15).Draw(t, "alter") == 0 {
				versions[oid]++
			}
			r := simRelation(oid, versions[oid])
			s := simStep{rel: []*change.Relation{r}}
			switch rapid.IntRange(0, 9).Draw(t, "op") {
			case 0:
				s.truncate = true
				if other := oid%3 + 1; rapid.Bool().Draw(t, "both") {
					s.rel = append(s.rel, simRelation(other, versions[other]))
				}
			case 1, 2:
				s.op = change.Op{Kind: change.Delete, Old: row(r)}
			case 3, 4:
				s.op = change.Op{Kind: change.Update, Old: row(r), New: row(r)}
			default:
				s.op = change.Op{Kind: change.Insert, New: row(r)}
			}
			x.steps = append(x.steps, s)
		}
		for b := range rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "barriers") {
			x.barriers = append(x.barriers, fmt.Sprintf("in %d/%d", i, b))
		}
	}
	return wal
}

// simLog is a change log with the bucket beside it, in memory. It is the
// output of a batch.
type simLog struct {
	partBytes int
	busy      func() bool // whether messages are in flight
	messages  []tail.Message
	newest    map[uint32]string
	before    []map[uint32]string // newest before each message
	rels      map[string]*change.Relation
	came      change.LSN
	end       change.LSN // of the last message

	body    *wire.ChangeBuilder
	packed  int
	subject string
	packLSN change.LSN
}

func newSimLog(partBytes int, busy func() bool) *simLog {
	return &simLog{
		partBytes: partBytes, busy: busy, body: wire.NewChangeBuilder(),
		newest: map[uint32]string{}, rels: map[string]*change.Relation{},
	}
}

// cut is the log after a crash that left n messages (parts count). late says
// that the last one's effect on the bucket was lost.
func (l *simLog) cut(n int, late bool, busy func() bool) *simLog {
	c := newSimLog(l.partBytes, busy)
	c.messages = slices.Clone(l.messages[:n])
	c.before = slices.Clone(l.before[:n])
	c.rels = maps.Clone(l.rels)
	switch {
	case late && n > 0:
		c.newest = maps.Clone(l.before[n-1])
	case n < len(l.before):
		c.newest = maps.Clone(l.before[n])
	default:
		c.newest = maps.Clone(l.newest)
	}
	return c
}

func (l *simLog) append(subject string, lsn change.LSN, data []byte, more bool) {
	n := max((len(data)+l.partBytes-1)/l.partBytes, 1)
	for i := range n {
		h := stream.ChangeHeader(lsn, l.end, more)
		if n > 1 {
			h.Set(topology.HeaderPart, fmt.Sprintf("%d/%d", i, n))
		}
		part := data[i*l.partBytes : min((i+1)*l.partBytes, len(data))]
		l.messages = append(l.messages, tail.Message{Subject: subject, Header: h, Data: bytes.Clone(part)})
		l.before = append(l.before, maps.Clone(l.newest))
	}
	l.end = lsn
}

func (l *simLog) flush() {
	if l.packed > 0 {
		l.append(l.subject, l.packLSN, l.body.Bytes(), false)
		l.body.Reset()
		l.packed = 0
	}
}

func (l *simLog) describe(t *table) (*wire.Control, error) {
	l.rels[t.fingerprint] = t.rel
	newest, ok := l.newest[t.rel.OID]
	if !ok {
		l.newest[t.rel.OID] = t.fingerprint
		return nil, nil
	}
	if newest == t.fingerprint {
		return nil, nil
	}
	return &wire.Control{Kind: wire.ControlRelation, OID: t.rel.OID, Relation: t.fingerprint}, nil
}

func (l *simLog) renew(t *table, c *wire.Control, lsn change.LSN, stored bool) error {
	if !stored {
		if err := l.control(c, lsn, true); err != nil {
			return err
		}
	}
	l.newest[t.rel.OID] = t.fingerprint
	return nil
}

func (l *simLog) fragment(t *table, head *change.Fragment, ops *wire.FragmentBuilder, more bool) error {
	l.flush()
	l.body.Add(head, ops)
	l.append(t.subject, head.LSN, l.body.Bytes(), more)
	l.body.Reset()
	return nil
}

func (l *simLog) whole(t *table, head *change.Fragment, ops *wire.FragmentBuilder) error {
	if l.packed > 0 && (l.subject != t.subject || l.body.Len()+ops.Len()+fragmentHead > l.partBytes) {
		l.flush()
	}
	l.subject, l.packLSN = t.subject, head.LSN
	l.body.Add(head, ops)
	l.packed++
	if !l.busy() {
		l.flush()
	}
	return nil
}

func (l *simLog) control(c *wire.Control, lsn change.LSN, more bool) error {
	l.flush()
	body, err := wire.EncodeControl(*c)
	if err != nil {
		return err
	}
	l.append(simSource.ControlSubject(), lsn, body, more)
	return nil
}

func (l *simLog) received(lsn change.LSN) error {
	l.came = lsn
	return nil
}

// tail reads the log's end as a new session does.
func (l *simLog) tail() (*tail.Tail, error) {
	r := tail.NewReader(simSource)
	for _, m := range slices.Backward(l.messages) {
		done, err := r.Add(m)
		if err != nil || done {
			return r.Tail(), err
		}
	}
	return r.Tail(), nil
}

// replay runs a session: the WAL from a position on goes into the log.
func (l *simLog) replay(wal []simTxn, from *tail.Tail, lim limits) error {
	b := newBatch(simSource, lim, l, from)
	start := change.LSN(0)
	if from != nil {
		start = from.LSN
	}
	l.end = start
	sent := map[uint32]string{} // the walsender describes a table once
	describe := func(rels []*change.Relation) error {
		for _, r := range rels {
			if sent[r.OID] != r.Fingerprint() {
				sent[r.OID] = r.Fingerprint()
				if err := b.relation(r); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for i := range wal {
		x := &wal[i]
		if x.lsn < start {
			continue
		}
		if x.barrier != "" {
			if err := b.barrier(false, x.end, []byte(x.barrier)); err != nil {
				return err
			}
			if l.came != x.end {
				return fmt.Errorf("barrier that ends at %s: received %s", x.end, l.came)
			}
			continue
		}
		if err := b.begin(x.xid, x.lsn, int64(x.xid), ""); err != nil {
			return err
		}
		for _, s := range x.steps {
			if err := describe(s.rel); err != nil {
				return err
			}
			if s.truncate {
				oids := make([]uint32, len(s.rel))
				for i, r := range s.rel {
					oids[i] = r.OID
				}
				if err := b.truncate(oids); err != nil {
					return err
				}
				continue
			}
			op := s.op
			if err := b.row(s.rel[0].OID, &op); err != nil {
				return err
			}
		}
		for _, p := range x.barriers {
			if err := b.barrier(true, x.lsn-1, []byte(p)); err != nil {
				return err
			}
		}
		if err := b.commit(x.end); err != nil {
			return err
		}
		if l.came != x.end {
			return fmt.Errorf("transaction at %s: received %s, want %s", x.lsn, l.came, x.end)
		}
	}
	l.flush()
	return nil
}
