package ingest

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/ingest/pgoutput"
	"github.com/shapebus/shapebus/services/ingest/tail"
)

// output is where a batch's decisions go, in the order of the change log.
type output interface {
	// describe makes sure that readers can look up the table's relation, before
	// a fragment names it. When the newest one they know of differs it returns
	// the control entry to publish in this place.
	describe(t *table) (*wire.Control, error)
	// renew publishes c unless it is stored already, and makes the table's
	// relation the newest one.
	renew(t *table, c *wire.Control, lsn change.LSN, stored bool) error
	// fragment publishes a message with one fragment and empties ops. more says
	// that another message with the same LSN follows.
	fragment(t *table, head *change.Fragment, ops *wire.FragmentBuilder, more bool) error
	// whole publishes a transaction that is one fragment, perhaps in one
	// message with its neighbours, and empties ops.
	whole(t *table, head *change.Fragment, ops *wire.FragmentBuilder) error
	// control publishes a control entry. more says that another message with the
	// same LSN follows.
	control(c *wire.Control, lsn change.LSN, more bool) error
	// received says that everything below lsn has come and went to the calls above.
	received(lsn change.LSN) error
}

// table is a published table as this session knows it, and what the open
// transaction did to it.
type table struct {
	rel         *change.Relation
	fingerprint string
	subject     string
	described   bool // readers can look the relation up and know it as the newest
	again       bool // Postgres has described it again as it was

	touched bool                  // by the open transaction
	begun   bool                  // a fragment of the open transaction is out
	ops     *wire.FragmentBuilder // nil when empty
}

// limits bound a fragment.
type limits struct {
	bytes int // of the ops gathered, all tables together
	ops   int // their number; 0 = no limit
}

// batch turns the messages of a replication session into the change log's
// messages: it numbers ops, gathers them per table, cuts fragments, sets commit
// markers, and leaves out what the log holds already. It holds one fragment's
// worth of ops and the list of tables touched, never a transaction. What it
// decides depends on its input only. Not safe for concurrent use.
type batch struct {
	source topology.Source
	limits limits
	out    output
	tail   *tail.Tail // where the log ended; nil once the session has passed it

	tables map[uint32]*table
	last   *table // the one used last

	open     bool            // inside a transaction
	skipping bool            // the open transaction is stored whole
	head     change.Fragment // its xid, LSN and time
	next     uint64          // index of its next op
	group    uint64          // index of the first op that can be in the next flush
	flushed  bool            // a fragment of it is out
	barriers []string
	held     int      // what they count against barrierBytes
	again    []uint32 // tables that it touched and Postgres has described again
	touched  []*table
	gathered []*table // those with ops
	bytes    int
	ops      int
	rows     uint64 // rows of all transactions, for the status

	oids []uint32                // memory for Fragment.Tables
	free []*wire.FragmentBuilder // empty builders
}

// freeKept bounds the builders kept for reuse; each may have grown to a fragment.
const freeKept = 8

// barrierBytes bounds the barriers that one transaction can hold. Shapebus
// puts one into a transaction; what others put there under its prefix must
// not grow the process.
const barrierBytes = 1 << 20

// barrierOverhead is what a barrier counts beside its payload, which may be empty.
const barrierOverhead = 64

func newBatch(source topology.Source, l limits, out output, from *tail.Tail) *batch {
	return &batch{source: source, limits: l, out: out, tail: from, tables: map[uint32]*table{}}
}

// begin opens a transaction. trace is the context of its trace, "" for none.
func (b *batch) begin(xid change.XID, lsn change.LSN, time int64, trace string) error {
	if b.open {
		return fmt.Errorf("%w: a transaction begins inside another", pgoutput.ErrProtocol)
	}
	if b.tail != nil && lsn > b.tail.LSN {
		b.tail = nil
	}
	b.open = true
	b.skipping = b.tail != nil && lsn < b.tail.LSN
	b.head = change.Fragment{XID: xid, LSN: lsn, CommitTime: time, Trace: trace}
	b.next, b.group, b.flushed = 0, 0, false
	if b.tail != nil && !b.skipping {
		b.group, b.flushed = b.tail.Group, b.tail.Fragments || len(b.tail.Renewed) > 0
	}
	return nil
}

// relation takes a table's schema. It holds from here on.
func (b *batch) relation(r *change.Relation) error {
	fingerprint := r.Fingerprint()
	t := b.tables[r.OID]
	if t == nil {
		t = &table{}
		b.tables[r.OID] = t
	} else if t.fingerprint == fingerprint {
		t.again = true
		return nil
	} else if err := b.flush(); err != nil {
		return err
	}
	t.rel, t.fingerprint, t.described, t.again = r, fingerprint, false, false
	t.subject = b.source.ChangeSubject(r.Schema, r.Name)
	return nil
}

// row takes an insert, update or delete. op is not kept.
func (b *batch) row(oid uint32, op *change.Op) error {
	t := b.last
	if t == nil || t.rel.OID != oid {
		if t = b.tables[oid]; t == nil {
			return fmt.Errorf("%w: a row of table %d, which was not described", pgoutput.ErrProtocol, oid)
		}
		b.last = t
	}
	if op.New != nil && len(op.New) != len(t.rel.Columns) || op.Old != nil && len(op.Old) != len(t.rel.Columns) {
		return fmt.Errorf("%w: a row with the wrong number of columns for table %s.%s", pgoutput.ErrProtocol, t.rel.Schema, t.rel.Name)
	}
	b.rows++
	return b.add(t, op)
}

// truncate takes the truncation of several tables: one op each.
func (b *batch) truncate(oids []uint32) error {
	for _, oid := range oids {
		t := b.tables[oid]
		if t == nil {
			return fmt.Errorf("%w: truncation of table %d, which was not described", pgoutput.ErrProtocol, oid)
		}
		if err := b.add(t, &change.Op{Kind: change.Truncate}); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) add(t *table, op *change.Op) error {
	if !b.open {
		return fmt.Errorf("%w: a change outside a transaction", pgoutput.ErrProtocol)
	}
	if b.skipping {
		return nil
	}
	if !t.touched {
		t.touched, t.begun = true, false
		b.touched = append(b.touched, t)
	}
	if b.tail != nil && b.tail.Holds(t.fingerprint, b.next) {
		b.next += change.OpStep
		t.begun, t.described = true, true // whoever stored it described the table first
		return nil
	}
	if !t.described {
		if err := b.describe(t); err != nil {
			return err
		}
	}
	if t.again {
		t.again = false
		b.again = append(b.again, t.rel.OID)
	}
	op.Index = b.next
	b.next += change.OpStep
	if t.ops == nil {
		t.ops = b.take()
		b.gathered = append(b.gathered, t)
	}
	before := t.ops.Len()
	t.ops.Add(op)
	b.bytes += t.ops.Len() - before
	b.ops++
	if b.bytes >= b.limits.bytes || b.limits.ops > 0 && b.ops >= b.limits.ops {
		return b.flush()
	}
	return nil
}

// describe tells readers of the table's relation. A change of it takes its
// place among the ops.
func (b *batch) describe(t *table) error {
	c, err := b.out.describe(t)
	if err != nil {
		return err
	}
	t.described = true
	if c == nil {
		return nil
	}
	if err := b.flush(); err != nil {
		return err
	}
	c.LSN = uint64(b.head.LSN)
	b.flushed = true // it says that more of this LSN follows: not in a message with other transactions
	return b.out.renew(t, c, b.head.LSN, b.tail != nil && b.tail.Renewed[t.fingerprint])
}

// flush publishes what is gathered, all tables in one go.
func (b *batch) flush() error {
	if len(b.gathered) == 0 {
		return nil
	}
	sortTables(b.gathered)
	for _, t := range b.gathered {
		if err := b.publish(t, false, true); err != nil {
			return err
		}
	}
	b.flushedAll()
	return nil
}

// publish sends what is gathered of one table. more says that something of the
// transaction follows.
func (b *batch) publish(t *table, last, more bool) error {
	head := b.head
	head.Relation = t.fingerprint
	head.First = !t.begun
	head.Last = last
	head.Group = b.group
	if last {
		head.End, head.Tables = b.next, b.oids
	}
	ops := t.ops
	if ops == nil {
		ops = b.take()
	}
	var err error
	if last && !b.flushed && !more && len(b.touched) == 1 && head.Trace == "" { // one that is traced has its messages to itself
		err = b.out.whole(t, &head, ops)
	} else {
		err = b.out.fragment(t, &head, ops, more)
	}
	if err != nil {
		return err
	}
	t.begun, t.ops = true, nil
	if len(b.free) < freeKept {
		b.free = append(b.free, ops)
	}
	return nil
}

func (b *batch) flushedAll() {
	b.gathered = b.gathered[:0]
	b.bytes, b.ops, b.flushed = 0, 0, true
	// While ops from here on are stored already, the group stays that of the
	// log's last one: a reader of the tail finds all of them under one group.
	if b.tail == nil || b.tail.Passed(b.next) {
		b.group = b.next
	}
}

// commit closes the transaction; end is the position after its commit record.
func (b *batch) commit(end change.LSN) error {
	if !b.open {
		return fmt.Errorf("%w: a commit outside a transaction", pgoutput.ErrProtocol)
	}
	if !b.skipping {
		if err := b.mark(); err != nil {
			return err
		}
		for i, payload := range b.barriers {
			if b.tail != nil && i < b.tail.Barriers {
				continue
			}
			c := &wire.Control{Kind: wire.ControlBarrier, LSN: uint64(b.head.LSN), XID: uint32(b.head.XID), Payload: payload}
			if err := b.out.control(c, b.head.LSN, i < len(b.barriers)+len(b.again)-1); err != nil {
				return err
			}
		}
		// These come last, as a later session may know of none of them.
		for i, oid := range b.again {
			c := &wire.Control{Kind: wire.ControlBarrier, LSN: uint64(b.head.LSN), XID: uint32(b.head.XID), OID: oid}
			if err := b.out.control(c, b.head.LSN, i < len(b.again)-1); err != nil {
				return err
			}
		}
		if b.tail != nil {
			b.tail = nil
		}
	}
	for _, t := range b.touched {
		t.touched = false
	}
	b.touched = b.touched[:0]
	b.barriers, b.held, b.again = b.barriers[:0], 0, b.again[:0]
	b.open, b.skipping = false, false
	return b.out.received(end)
}

// mark publishes the commit markers with what is still gathered.
func (b *batch) mark() error {
	if len(b.touched) == 0 {
		return nil
	}
	sortTables(b.touched)
	b.oids = b.oids[:0]
	for _, t := range b.touched {
		b.oids = append(b.oids, t.rel.OID)
	}
	for i, t := range b.touched {
		if b.tail != nil && b.tail.Marked(t.fingerprint) {
			continue
		}
		if err := b.publish(t, true, i < len(b.touched)-1 || len(b.barriers)+len(b.again) > 0); err != nil {
			return err
		}
	}
	b.flushedAll()
	return nil
}

// barrier takes a logical message with our prefix. lsn is where its record ends.
func (b *batch) barrier(transactional bool, lsn change.LSN, payload []byte) error {
	if transactional {
		if !b.open {
			return fmt.Errorf("%w: a transactional message outside a transaction", pgoutput.ErrProtocol)
		}
		if b.skipping {
			return nil
		}
		if held := b.held + len(payload) + barrierOverhead; held <= barrierBytes {
			b.barriers, b.held = append(b.barriers, string(payload)), held
		}
		return nil
	}
	if b.open {
		return fmt.Errorf("%w: a message that is not transactional inside a transaction", pgoutput.ErrProtocol)
	}
	at := placeOfMessage(lsn)
	if b.tail != nil {
		if at <= b.tail.LSN {
			return b.out.received(lsn)
		}
		b.tail = nil
	}
	c := &wire.Control{Kind: wire.ControlBarrier, LSN: uint64(at), Payload: string(payload)}
	if err := b.out.control(c, at, false); err != nil {
		return err
	}
	return b.out.received(lsn)
}

// placeOfMessage is the place of a message outside of transactions whose record
// ends at an LSN: within the record. A transaction's place is the LSN at which
// its commit's record begins, which may be where the message's ends, and what is at one place is one thing to
// readers.
func placeOfMessage(end change.LSN) change.LSN { return end - 1 }

func (b *batch) take() *wire.FragmentBuilder {
	if n := len(b.free); n > 0 {
		f := b.free[n-1]
		b.free = b.free[:n-1]
		return f
	}
	return wire.NewFragmentBuilder()
}

func sortTables(tables []*table) {
	slices.SortFunc(tables, func(a, b *table) int { return cmp.Compare(a.rel.OID, b.rel.OID) })
}
