package ingest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/shapebus/shapebus/pkg/change"
)

// kind is the first byte of a pgoutput message.
type kind byte

// The messages of pgoutput's protocol version 1.
const (
	kindBegin    kind = 'B'
	kindCommit   kind = 'C'
	kindRelation kind = 'R'
	kindInsert   kind = 'I'
	kindUpdate   kind = 'U'
	kindDelete   kind = 'D'
	kindTruncate kind = 'T'
	kindMessage  kind = 'M'
	kindOrigin   kind = 'O' // where a change was written first; not our business
	kindType     kind = 'Y' // name of a type that is not built in; the catalog tells
)

// errProtocol is wrapped by errors about messages that are not what pgoutput's
// documentation says. Nothing a Postgres sends gives it.
var errProtocol = errors.New("malformed replication message")

var errShort = fmt.Errorf("%w: it ends too early", errProtocol)

// decoder decodes one pgoutput message at a time, in place. What decode fills
// in depends on the kind it returns; rows and payload point into the data given
// and are valid until the next call. Not safe for concurrent use.
type decoder struct {
	// Begin
	xid        change.XID
	commitLSN  change.LSN // Commit too
	commitTime int64      // microseconds since 1970-01-01 UTC

	endLSN change.LSN // Commit: the position after the commit record

	relation *change.Relation // Relation; the receiver's to keep

	oid uint32    // Insert, Update, Delete
	op  change.Op // Index is the receiver's to set

	truncated []uint32 // Truncate: tables, in the order sent

	// Message
	transactional bool
	messageLSN    change.LSN
	prefix        []byte
	payload       []byte

	oldRow, newRow change.Row // memory behind op's rows
}

// postgresEpoch is 2000-01-01 UTC in microseconds since 1970-01-01 UTC.
const postgresEpoch = 946684800 * 1_000_000

func (d *decoder) decode(data []byte) (kind, error) {
	if len(data) == 0 {
		return 0, errShort
	}
	k, b := kind(data[0]), data[1:]
	var err error
	switch k {
	case kindInsert, kindUpdate, kindDelete:
		err = d.row(k, b)
	case kindBegin:
		if len(b) < 20 {
			return k, errShort
		}
		d.commitLSN = change.LSN(binary.BigEndian.Uint64(b))
		d.commitTime = int64(binary.BigEndian.Uint64(b[8:])) + postgresEpoch
		d.xid = change.XID(binary.BigEndian.Uint32(b[16:]))
	case kindCommit:
		if len(b) < 25 {
			return k, errShort
		}
		d.commitLSN = change.LSN(binary.BigEndian.Uint64(b[1:]))
		d.endLSN = change.LSN(binary.BigEndian.Uint64(b[9:]))
	case kindRelation:
		err = d.readRelation(b)
	case kindTruncate:
		err = d.truncate(b)
	case kindMessage:
		err = d.message(b)
	case kindOrigin, kindType:
	default:
		err = fmt.Errorf("%w: unknown kind %q", errProtocol, byte(k))
	}
	return k, err
}

// row decodes an insert, update or delete into op.
func (d *decoder) row(k kind, b []byte) error {
	if len(b) < 5 {
		return errShort
	}
	d.oid = binary.BigEndian.Uint32(b)
	tuple := b[4]
	b = b[5:]
	d.op = change.Op{}
	var err error
	if k != kindInsert && (tuple == 'O' || tuple == 'K') {
		d.op.KeyOnly = tuple == 'K'
		if d.oldRow, b, _, err = readTuple(b, d.oldRow); err != nil {
			return err
		}
		d.op.Old = d.oldRow
		if k == kindDelete {
			d.op.Kind = change.Delete
			return nil
		}
		if len(b) == 0 {
			return errShort
		}
		tuple, b = b[0], b[1:]
	}
	if k == kindDelete || tuple != 'N' {
		return fmt.Errorf("%w: tuple %q in a message of kind %q", errProtocol, tuple, byte(k))
	}
	var unchanged bool
	if d.newRow, _, unchanged, err = readTuple(b, d.newRow); err != nil {
		return err
	}
	d.op.New = d.newRow
	d.op.Kind = change.Insert
	if k == kindUpdate {
		d.op.Kind = change.Update
		// With REPLICA IDENTITY FULL the old row has the whole value.
		if unchanged && d.op.Old != nil && !d.op.KeyOnly && len(d.op.Old) == len(d.op.New) {
			for i, v := range d.op.New {
				if change.IsUnchanged(v) {
					d.op.New[i] = d.op.Old[i]
				}
			}
		}
	}
	return nil
}

// readTuple decodes a row's values into the memory of row. It returns the row,
// what follows it, and whether a value was left out as unchanged.
func readTuple(b []byte, row change.Row) (_ change.Row, rest []byte, unchanged bool, err error) {
	if len(b) < 2 {
		return row[:0], nil, false, errShort
	}
	n := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	if n > len(b) { // each value takes a byte at least
		return row[:0], nil, false, errShort
	}
	if cap(row) < n || row == nil {
		row = make(change.Row, n)
	}
	row = row[:n]
	for i := range row {
		if len(b) == 0 {
			return row[:0], nil, false, errShort
		}
		switch b[0] {
		case 't':
			if len(b) < 5 {
				return row[:0], nil, false, errShort
			}
			size := uint64(binary.BigEndian.Uint32(b[1:]))
			b = b[5:]
			if size > uint64(len(b)) {
				return row[:0], nil, false, errShort
			}
			row[i] = b[:size:size]
			b = b[size:]
		case 'n':
			row[i] = nil
			b = b[1:]
		case 'u':
			row[i] = change.Unchanged()
			unchanged = true
			b = b[1:]
		default:
			return row[:0], nil, false, fmt.Errorf("%w: column of kind %q", errProtocol, b[0])
		}
	}
	return row, b, unchanged, nil
}

func (d *decoder) readRelation(b []byte) error {
	if len(b) < 4 {
		return errShort
	}
	r := &change.Relation{OID: binary.BigEndian.Uint32(b)}
	var ok bool
	if r.Schema, b, ok = cutString(b[4:]); !ok {
		return errShort
	}
	if r.Schema == "" {
		r.Schema = "pg_catalog" // pgoutput's abbreviation
	}
	if r.Name, b, ok = cutString(b); !ok || len(b) < 3 {
		return errShort
	}
	r.Identity = change.Identity(b[0])
	n := int(binary.BigEndian.Uint16(b[1:]))
	b = b[3:]
	for range n {
		if len(b) == 0 {
			return errShort
		}
		var c change.Column
		if c.Name, b, ok = cutString(b[1:]); !ok || len(b) < 8 {
			return errShort
		}
		c.Type = binary.BigEndian.Uint32(b)
		c.TypeMod = int32(binary.BigEndian.Uint32(b[4:]))
		b = b[8:]
		r.Columns = append(r.Columns, c)
	}
	d.relation = r
	return nil
}

func (d *decoder) truncate(b []byte) error {
	if len(b) < 5 {
		return errShort
	}
	n := binary.BigEndian.Uint32(b)
	b = b[5:]
	if uint64(len(b)) < 4*uint64(n) {
		return errShort
	}
	d.truncated = d.truncated[:0]
	for i := range n {
		d.truncated = append(d.truncated, binary.BigEndian.Uint32(b[4*i:]))
	}
	return nil
}

func (d *decoder) message(b []byte) error {
	if len(b) < 9 {
		return errShort
	}
	d.transactional = b[0]&1 != 0
	d.messageLSN = change.LSN(binary.BigEndian.Uint64(b[1:]))
	b = b[9:]
	prefix, b, ok := bytes.Cut(b, []byte{0})
	if !ok || len(b) < 4 {
		return errShort
	}
	d.prefix = prefix
	size := uint64(binary.BigEndian.Uint32(b))
	b = b[4:]
	if size > uint64(len(b)) {
		return errShort
	}
	d.payload = b[:size:size]
	return nil
}

// cutString takes a zero-terminated string off the front of b.
func cutString(b []byte) (s string, rest []byte, ok bool) {
	before, rest, ok := bytes.Cut(b, []byte{0})
	if !ok {
		return "", nil, false
	}
	return string(before), rest, true
}
