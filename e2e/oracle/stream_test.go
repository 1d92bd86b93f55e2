package oracle

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/pkg/change"
)

// Txn is a committed transaction, as a replication slot of the oracle's own tells of it.
type Txn struct {
	LSN change.LSN // of the commit
	XID change.XID
	DDL []DDL `json:",omitempty"` // before the ops
	Ops []Op
}

// Op is a change of a row. In New a value may be missing (Unchanged names its
// place), when it is large and was not changed.
type Op struct {
	Table     string // schema and name, as pg.Qualified writes them
	Kind      change.Kind
	Old       change.Row // of a key, only the key's columns; nil if the key was not changed
	OldKey    bool
	New       change.Row
	Unchanged []int
}

// slotName and publication are the oracle's own.
const (
	slotName    = "oracle_slot"
	publication = "oracle_publication"
)

// readSlot takes what was committed since the last call. The decoder keeps what it learns of tables.
func readSlot(ctx context.Context, conn *pgx.Conn, d *decoder) error {
	rows, err := conn.Query(ctx, "SELECT data FROM pg_logical_slot_get_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', $2, 'messages', 'true')", slotName, publication)
	if err != nil {
		return fmt.Errorf("read the oracle's slot: %w", err)
	}
	var data []byte
	_, err = pgx.ForEachRow(rows, []any{&data}, func() error { return d.message(data) })
	if err != nil {
		return fmt.Errorf("read the oracle's slot: %w", err)
	}
	return nil
}

// decoder reads pgoutput's messages, by its documentation and by nothing that
// ingest knows.
type decoder struct {
	txns   []Txn
	tables map[uint32]string
	names  func(schema, table string) string

	b   []byte
	bad bool
}

func (d *decoder) message(data []byte) error {
	d.b = data
	switch kind := d.byte(); kind {
	case 'B':
		t := Txn{LSN: change.LSN(d.uint64())}
		d.uint64() // time
		t.XID = change.XID(d.uint32())
		d.txns = append(d.txns, t)
	case 'R':
		oid := d.uint32()
		schema, name := d.text(), d.text()
		d.tables[oid] = d.names(schema, name)
		return nil // what else it has, the schema says
	case 'I':
		d.add(Op{Kind: change.Insert, Table: d.table()})
	case 'U':
		d.add(Op{Kind: change.Update, Table: d.table()})
	case 'D':
		d.add(Op{Kind: change.Delete, Table: d.table()})
	case 'T':
		n := d.uint32()
		d.byte() // options
		for range n {
			d.add(Op{Kind: change.Truncate, Table: d.table()})
		}
	case 'M':
		return d.ddl()
	case 'C', 'O', 'Y':
		return nil
	default:
		return fmt.Errorf("pgoutput message %q: the oracle does not know it", kind)
	}
	if d.bad {
		return fmt.Errorf("pgoutput message %q: cut short or of a table that was not described", data[0])
	}
	return nil
}

func (d *decoder) table() string {
	name, ok := d.tables[d.uint32()]
	d.bad = d.bad || !ok
	return name
}

// add reads the tuples of an op, unless it is a truncate, and adds it.
func (d *decoder) add(op Op) {
	for op.Kind != change.Truncate && len(d.b) > 0 && !d.bad {
		switch d.byte() {
		case 'K':
			op.OldKey = true
			op.Old, _ = d.tuple()
		case 'O':
			op.Old, _ = d.tuple()
		case 'N':
			op.New, op.Unchanged = d.tuple()
		default:
			d.bad = true
		}
	}
	if len(d.txns) == 0 {
		d.bad = true
		return
	}
	t := &d.txns[len(d.txns)-1]
	t.Ops = append(t.Ops, op)
}

func (d *decoder) tuple() (row change.Row, unchanged []int) {
	row = make(change.Row, d.uint16())
	for i := range row {
		switch d.byte() {
		case 'n':
		case 'u':
			unchanged = append(unchanged, i)
		case 't':
			row[i] = append([]byte{}, d.take(int(d.uint32()))...)
		default:
			d.bad = true
		}
	}
	return row, unchanged
}

// take returns the next n bytes; zeros when there are fewer.
func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.bad, d.b = true, nil
		return make([]byte, min(max(n, 0), 8))
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) byte() byte     { return d.take(1)[0] }
func (d *decoder) uint16() uint16 { return binary.BigEndian.Uint16(d.take(2)) }
func (d *decoder) uint32() uint32 { return binary.BigEndian.Uint32(d.take(4)) }
func (d *decoder) uint64() uint64 { return binary.BigEndian.Uint64(d.take(8)) }

func (d *decoder) text() string {
	for i, c := range d.b {
		if c == 0 {
			s := string(d.b[:i])
			d.b = d.b[i+1:]
			return s
		}
	}
	d.bad = true
	return ""
}
