package pgoutput

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/shapebus/shapebus/pkg/change"
)

// Kind is the first byte of a pgoutput message.
type Kind byte

// The messages of pgoutput's protocol version 1.
const (
	KindBegin    Kind = 'B'
	KindCommit   Kind = 'C'
	KindRelation Kind = 'R'
	KindInsert   Kind = 'I'
	KindUpdate   Kind = 'U'
	KindDelete   Kind = 'D'
	KindTruncate Kind = 'T'
	KindMessage  Kind = 'M'
	KindOrigin   Kind = 'O' // where a change was written first; not our business
	KindType     Kind = 'Y' // name of a type that is not built in; the catalog tells
)

// ErrProtocol is wrapped by errors about messages that are not what pgoutput's
// documentation says. Nothing a Postgres sends gives it.
var ErrProtocol = errors.New("malformed replication message")

// ErrShort is the ErrProtocol of a message that ends too early.
var ErrShort = fmt.Errorf("%w: it ends too early", ErrProtocol)

// Decoder decodes one pgoutput message at a time, in place. What Decode fills
// in depends on the kind it returns; rows and payload point into the data given
// and are valid until the next call. Not safe for concurrent use.
type Decoder struct {
	// Begin
	XID        change.XID
	CommitLSN  change.LSN // Commit too
	CommitTime int64      // microseconds since 1970-01-01 UTC

	EndLSN change.LSN // Commit: the position after the commit record

	Relation *change.Relation // Relation; the receiver's to keep

	OID uint32    // Insert, Update, Delete
	Op  change.Op // Index is the receiver's to set

	Truncated []uint32 // Truncate: tables, in the order sent

	// Message
	Transactional bool
	MessageLSN    change.LSN
	Prefix        []byte
	Payload       []byte

	oldRow, newRow change.Row // memory behind Op's rows
}

// postgresEpoch is 2000-01-01 UTC in microseconds since 1970-01-01 UTC.
const postgresEpoch = 946684800 * 1_000_000

// Decode decodes a message and returns its kind. Its errors are ErrProtocol.
func (d *Decoder) Decode(data []byte) (Kind, error) {
	if len(data) == 0 {
		return 0, ErrShort
	}
	k, b := Kind(data[0]), data[1:]
	var err error
	switch k {
	case KindInsert, KindUpdate, KindDelete:
		err = d.row(k, b)
	case KindBegin:
		if len(b) < 20 {
			return k, ErrShort
		}
		d.CommitLSN = change.LSN(binary.BigEndian.Uint64(b))
		d.CommitTime = int64(binary.BigEndian.Uint64(b[8:])) + postgresEpoch
		d.XID = change.XID(binary.BigEndian.Uint32(b[16:]))
	case KindCommit:
		if len(b) < 25 {
			return k, ErrShort
		}
		d.CommitLSN = change.LSN(binary.BigEndian.Uint64(b[1:]))
		d.EndLSN = change.LSN(binary.BigEndian.Uint64(b[9:]))
	case KindRelation:
		err = d.readRelation(b)
	case KindTruncate:
		err = d.truncate(b)
	case KindMessage:
		err = d.message(b)
	case KindOrigin, KindType:
	default:
		err = fmt.Errorf("%w: unknown kind %q", ErrProtocol, byte(k))
	}
	return k, err
}

// row decodes an insert, update or delete into op.
func (d *Decoder) row(k Kind, b []byte) error {
	if len(b) < 5 {
		return ErrShort
	}
	d.OID = binary.BigEndian.Uint32(b)
	tuple := b[4]
	b = b[5:]
	d.Op = change.Op{}
	var err error
	if k != KindInsert && (tuple == 'O' || tuple == 'K') {
		d.Op.KeyOnly = tuple == 'K'
		if d.oldRow, b, _, err = readTuple(b, d.oldRow); err != nil {
			return err
		}
		d.Op.Old = d.oldRow
		if k == KindDelete {
			d.Op.Kind = change.Delete
			return nil
		}
		if len(b) == 0 {
			return ErrShort
		}
		tuple, b = b[0], b[1:]
	}
	if k == KindDelete || tuple != 'N' {
		return fmt.Errorf("%w: tuple %q in a message of kind %q", ErrProtocol, tuple, byte(k))
	}
	var unchanged bool
	if d.newRow, _, unchanged, err = readTuple(b, d.newRow); err != nil {
		return err
	}
	d.Op.New = d.newRow
	d.Op.Kind = change.Insert
	if k == KindUpdate {
		d.Op.Kind = change.Update
		// With REPLICA IDENTITY FULL the old row has the whole value.
		if unchanged && d.Op.Old != nil && !d.Op.KeyOnly && len(d.Op.Old) == len(d.Op.New) {
			for i, v := range d.Op.New {
				if change.IsUnchanged(v) {
					d.Op.New[i] = d.Op.Old[i]
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
		return row[:0], nil, false, ErrShort
	}
	n := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	if n > len(b) { // each value takes a byte at least
		return row[:0], nil, false, ErrShort
	}
	if cap(row) < n || row == nil {
		row = make(change.Row, n)
	}
	row = row[:n]
	for i := range row {
		if len(b) == 0 {
			return row[:0], nil, false, ErrShort
		}
		switch b[0] {
		case 't':
			if len(b) < 5 {
				return row[:0], nil, false, ErrShort
			}
			size := uint64(binary.BigEndian.Uint32(b[1:]))
			b = b[5:]
			if size > uint64(len(b)) {
				return row[:0], nil, false, ErrShort
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
			return row[:0], nil, false, fmt.Errorf("%w: column of kind %q", ErrProtocol, b[0])
		}
	}
	return row, b, unchanged, nil
}

func (d *Decoder) readRelation(b []byte) error {
	if len(b) < 4 {
		return ErrShort
	}
	r := &change.Relation{OID: binary.BigEndian.Uint32(b)}
	var ok bool
	if r.Schema, b, ok = cutString(b[4:]); !ok {
		return ErrShort
	}
	if r.Schema == "" {
		r.Schema = "pg_catalog" // pgoutput's abbreviation
	}
	if r.Name, b, ok = cutString(b); !ok || len(b) < 3 {
		return ErrShort
	}
	r.Identity = change.Identity(b[0])
	n := int(binary.BigEndian.Uint16(b[1:]))
	b = b[3:]
	for range n {
		if len(b) == 0 {
			return ErrShort
		}
		var c change.Column
		if c.Name, b, ok = cutString(b[1:]); !ok || len(b) < 8 {
			return ErrShort
		}
		c.Type = binary.BigEndian.Uint32(b)
		c.TypeMod = int32(binary.BigEndian.Uint32(b[4:]))
		b = b[8:]
		r.Columns = append(r.Columns, c)
	}
	d.Relation = r
	return nil
}

func (d *Decoder) truncate(b []byte) error {
	if len(b) < 5 {
		return ErrShort
	}
	n := binary.BigEndian.Uint32(b)
	b = b[5:]
	if uint64(len(b)) < 4*uint64(n) {
		return ErrShort
	}
	d.Truncated = d.Truncated[:0]
	for i := range n {
		d.Truncated = append(d.Truncated, binary.BigEndian.Uint32(b[4*i:]))
	}
	return nil
}

func (d *Decoder) message(b []byte) error {
	if len(b) < 9 {
		return ErrShort
	}
	d.Transactional = b[0]&1 != 0
	d.MessageLSN = change.LSN(binary.BigEndian.Uint64(b[1:]))
	b = b[9:]
	prefix, b, ok := bytes.Cut(b, []byte{0})
	if !ok || len(b) < 4 {
		return ErrShort
	}
	d.Prefix = prefix
	size := uint64(binary.BigEndian.Uint32(b))
	b = b[4:]
	if size > uint64(len(b)) {
		return ErrShort
	}
	d.Payload = b[:size:size]
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
