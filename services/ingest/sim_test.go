package ingest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/stream"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

const simSource = topology.Source("sim")

// simTxn is one thing in the WAL: a transaction, or a barrier outside of one.
type simTxn struct {
	xid      change.XID
	lsn, end change.LSN
	steps    []simStep
	barriers []string // transactional ones
	barrier  string   // not transactional: then there is nothing else
}

// simStep is one row, or the truncation of one or more tables.
type simStep struct {
	rel      []*change.Relation // one, or those truncated
	op       change.Op
	truncate bool
}

func (t *simTxn) ops() (n int) {
	for _, s := range t.steps {
		n += len(s.rel)
	}
	return n
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
		lsn += change.LSN(rapid.IntRange(2, 50).Draw(t, "distance"))
		x := &wal[i]
		*x = simTxn{xid: change.XID(700 + i), lsn: lsn, end: lsn + 1}
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
	messages  []storedMessage
	newest    map[uint32]string
	before    []map[uint32]string // newest before each message
	rels      map[string]*change.Relation
	received_ change.LSN

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

func (l *simLog) append(subject string, lsn change.LSN, data []byte) {
	n := max((len(data)+l.partBytes-1)/l.partBytes, 1)
	for i := range n {
		h := stream.LSNHeader(lsn)
		if n > 1 {
			h.Set(topology.HeaderPart, fmt.Sprintf("%d/%d", i, n))
		}
		part := data[i*l.partBytes : min((i+1)*l.partBytes, len(data))]
		l.messages = append(l.messages, storedMessage{subject: subject, header: h, data: bytes.Clone(part)})
		l.before = append(l.before, maps.Clone(l.newest))
	}
}

func (l *simLog) flush() {
	if l.packed > 0 {
		l.append(l.subject, l.packLSN, l.body.Bytes())
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
		if err := l.control(c, lsn); err != nil {
			return err
		}
	}
	l.newest[t.rel.OID] = t.fingerprint
	return nil
}

func (l *simLog) fragment(t *table, head *change.Fragment, ops *wire.FragmentBuilder) error {
	l.flush()
	l.body.Add(head, ops)
	l.append(t.subject, head.LSN, l.body.Bytes())
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

func (l *simLog) control(c *wire.Control, lsn change.LSN) error {
	l.flush()
	body, err := wire.EncodeControl(*c)
	if err != nil {
		return err
	}
	l.append(simSource.ControlSubject(), lsn, body)
	return nil
}

func (l *simLog) received(lsn change.LSN) error {
	l.received_ = lsn
	return nil
}

// tail reads the log's end as a new session does.
func (l *simLog) tail() (*tail, error) {
	r := newTailReader(simSource)
	for _, m := range slices.Backward(l.messages) {
		done, err := r.add(m)
		if err != nil || done {
			return &r.tail, err
		}
	}
	return &r.tail, nil
}

// replay runs a session: the WAL from a position on goes into the log.
func (l *simLog) replay(wal []simTxn, from *tail, lim limits) error {
	b := newBatch(simSource, lim, l, from)
	start := change.LSN(0)
	if from != nil {
		start = from.lsn
	}
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
			if err := b.barrier(false, x.lsn, []byte(x.barrier)); err != nil {
				return err
			}
			continue
		}
		if err := b.begin(x.xid, x.lsn, int64(x.xid)); err != nil {
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
		if l.received_ != x.end {
			return fmt.Errorf("transaction at %s: received %s, want %s", x.lsn, l.received_, x.end)
		}
	}
	l.flush()
	return nil
}

// check compares the log with the history it should hold. With repeats,
// relation entries may come more than once.
func (l *simLog) check(wal []simTxn, repeats bool) error {
	type flat struct {
		Rel string
		Op  change.Op
	}
	txns := map[change.LSN]*simTxn{}
	var barriers []string
	for i := range wal {
		x := &wal[i]
		txns[x.lsn] = x
		if x.barrier != "" {
			barriers = append(barriers, x.barrier)
		}
		barriers = append(barriers, x.barriers...)
	}
	want := func(x *simTxn) (ops []flat, tables []uint32) {
		for _, s := range x.steps {
			for _, r := range s.rel {
				op := s.op
				if s.truncate {
					op = change.Op{Kind: change.Truncate}
				}
				op.Index = uint64(len(ops)) * change.OpStep
				ops = append(ops, flat{r.Fingerprint(), op})
				tables = append(tables, r.OID)
			}
		}
		slices.Sort(tables)
		return ops, slices.Compact(tables)
	}
	got := map[change.LSN]map[uint64]flat{}
	ended := map[string]bool{} // lsn/oid
	began := map[string]bool{}
	var gotBarriers []string
	announced := map[uint32]string{}
	var entries, changes int
	var lastLSN, lastHeader change.LSN
	var parts stream.Assembler
	var d wire.ChangeDecoder
	for i, m := range l.messages {
		header, err := stream.LSN(m.header)
		if err != nil {
			return err
		}
		if header < lastHeader {
			return fmt.Errorf("message %d: header LSN falls", i)
		}
		lastHeader = header
		data, ok, err := parts.Add(m.subject, m.header, m.data)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if m.subject == simSource.ControlSubject() {
			c, err := wire.DecodeControl(data)
			if err != nil {
				return err
			}
			if change.LSN(c.LSN) != header {
				return fmt.Errorf("message %d: entry at %d under header %d", i, c.LSN, header)
			}
			switch c.Kind {
			case wire.ControlBarrier:
				gotBarriers = append(gotBarriers, c.Payload)
				lastLSN = header
			case wire.ControlRelation:
				entries++
				announced[c.OID] = c.Relation
			default:
				return fmt.Errorf("message %d: %s", i, c.Kind)
			}
			continue
		}
		fragments, whole := 0, true
		subject := ""
		err = d.Decode(data, func(f *change.Fragment) error {
			fragments++
			x := txns[f.LSN]
			if x == nil || x.xid != f.XID || f.CommitTime != int64(x.xid) {
				return fmt.Errorf("transaction %d at %s is not in the WAL", f.XID, f.LSN)
			}
			if f.LSN < lastLSN {
				return fmt.Errorf("fragment of %s after %s", f.LSN, lastLSN)
			}
			lastLSN = f.LSN
			if f.LSN > header {
				return fmt.Errorf("fragment of %s under header %s", f.LSN, header)
			}
			rel := l.rels[f.Relation]
			if rel == nil {
				return fmt.Errorf("relation %s is not described", f.Relation)
			}
			if a := announced[rel.OID]; a != f.Relation {
				if a != "" {
					return fmt.Errorf("fragment with relation %s, announced was %s", f.Relation, a)
				}
				announced[rel.OID] = f.Relation
			}
			if want := simSource.ChangeSubject(rel.Schema, rel.Name); m.subject != want {
				return fmt.Errorf("subject %s, want %s", m.subject, want)
			}
			if subject != "" && subject != f.Relation {
				return fmt.Errorf("two relations in one message")
			}
			subject = f.Relation
			ops, tables := want(x)
			id := fmt.Sprint(f.LSN, "/", rel.OID)
			if ended[id] {
				return fmt.Errorf("%s: a fragment after the commit marker", id)
			}
			if f.First == began[id] {
				return fmt.Errorf("%s: first is %v", id, f.First)
			}
			began[id] = true
			if got[f.LSN] == nil {
				got[f.LSN] = map[uint64]flat{}
			}
			for below := range f.Group / change.OpStep {
				if _, ok := got[f.LSN][below*change.OpStep]; !ok {
					return fmt.Errorf("%s: group %d, but op %d is not stored", id, f.Group, below*change.OpStep)
				}
			}
			last := int64(-1)
			for _, op := range f.Ops {
				if int64(op.Index) <= last || op.Index < f.Group {
					return fmt.Errorf("%s: op %d after %d in group %d", id, op.Index, last, f.Group)
				}
				last = int64(op.Index)
				if _, twice := got[f.LSN][op.Index]; twice {
					return fmt.Errorf("%s: op %d stored twice", id, op.Index)
				}
				op.Old, op.New = copyRow(op.Old), copyRow(op.New)
				got[f.LSN][op.Index] = flat{f.Relation, op}
			}
			if f.Last {
				ended[id] = true
				if f.End != uint64(len(ops))*change.OpStep || !slices.Equal(f.Tables, tables) {
					return fmt.Errorf("%s: marker with end %d and tables %v, want %d and %v", id, f.End, f.Tables, len(ops)*change.OpStep, tables)
				}
			}
			whole = whole && f.First && f.Last && len(f.Tables) == 1
			return nil
		})
		if err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		if fragments > 1 && !whole {
			return fmt.Errorf("message %d: %d fragments that are not whole transactions on one table", i, fragments)
		}
	}
	if parts.Pending() {
		return fmt.Errorf("the log ends in an unfinished message")
	}
	known := map[uint32]string{}
	for i := range wal {
		x := &wal[i]
		ops, tables := want(x)
		have := make([]flat, 0, len(ops))
		for i := range ops {
			have = append(have, got[x.lsn][uint64(i)*change.OpStep])
		}
		if diff := cmp.Diff(ops, have, cmp.Comparer(func(a, b []flat) bool {
			return len(a) == 0 && len(b) == 0 || fmt.Sprintf("%#v", a) == fmt.Sprintf("%#v", b)
		})); diff != "" {
			return fmt.Errorf("transaction at %s: %s", x.lsn, diff)
		}
		if n := len(got[x.lsn]); n != len(ops) {
			return fmt.Errorf("transaction at %s: %d ops, want %d", x.lsn, n, len(ops))
		}
		for _, oid := range tables {
			if !ended[fmt.Sprint(x.lsn, "/", oid)] {
				return fmt.Errorf("transaction at %s: no commit marker on table %d", x.lsn, oid)
			}
		}
		for _, s := range x.steps {
			for _, r := range s.rel {
				if k := known[r.OID]; k != "" && k != r.Fingerprint() {
					changes++
				}
				known[r.OID] = r.Fingerprint()
			}
		}
	}
	if !slices.Equal(barriers, gotBarriers) {
		return fmt.Errorf("barriers %q, want %q", gotBarriers, barriers)
	}
	if entries < changes || entries > changes && !repeats {
		return fmt.Errorf("%d relation entries for %d changes", entries, changes)
	}
	return nil
}
