package wire

import (
	"fmt"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/shapebus/shapebus/pkg/change"
)

// ControlKind tells what a control entry of the change log announces.
type ControlKind string

// The control entries, as they are stored.
const (
	// ControlBarrier marks the place of a logical message in the WAL: all that
	// committed before it stands before it in the change log. One with a table says that Postgres
	// described the table again in the transaction before, as it was: something about it may have
	// changed that the description does not tell.
	ControlBarrier ControlKind = "barrier"
	// ControlRelation says that a table's schema changed here.
	ControlRelation ControlKind = "relation"
	// ControlReset says that the change log has a gap here: the slot was lost
	// or the database replaced. Every shape of the source ends.
	ControlReset ControlKind = "reset"
)

// Control is one entry on the change log's control subject, stored as a map.
type Control struct {
	Kind     ControlKind `msgpack:"kind"`
	LSN      uint64      `msgpack:"lsn"`
	XID      uint32      `msgpack:"xid,omitempty"`      // barrier: the transaction that emitted it, if it was transactional
	Payload  string      `msgpack:"payload,omitempty"`  // barrier: what was emitted
	OID      uint32      `msgpack:"oid,omitempty"`      // relation: the table; barrier: see ControlBarrier
	Relation string      `msgpack:"relation,omitempty"` // relation: its new fingerprint
	Reason   string      `msgpack:"reason,omitempty"`   // in words, for readers of ended shapes
}

// EncodeControl returns the message's body.
func EncodeControl(c Control) ([]byte, error) { return encodeMap("control entry", c) }

// DecodeControl reads a body that EncodeControl wrote.
func DecodeControl(data []byte) (Control, error) {
	var c Control
	return c, decodeMap("control entry", data, &c)
}

// relationMap is the stored form of a relation.
type relationMap struct {
	OID      uint32      `msgpack:"oid"`
	Schema   string      `msgpack:"schema"`
	Name     string      `msgpack:"name"`
	Identity string      `msgpack:"identity"`
	Columns  []columnMap `msgpack:"columns"`
}

type columnMap struct {
	Name    string `msgpack:"name"`
	Type    uint32 `msgpack:"type"`
	TypeMod int32  `msgpack:"typemod"`
}

// EncodeRelation returns the stored form of a relation.
func EncodeRelation(r *change.Relation) ([]byte, error) {
	m := relationMap{OID: r.OID, Schema: r.Schema, Name: r.Name, Identity: string(rune(r.Identity))}
	for _, c := range r.Columns {
		m.Columns = append(m.Columns, columnMap(c))
	}
	return encodeMap("relation", m)
}

// DecodeRelation reads what EncodeRelation wrote.
func DecodeRelation(data []byte) (*change.Relation, error) {
	var m relationMap
	if err := decodeMap("relation", data, &m); err != nil {
		return nil, err
	}
	if len(m.Identity) != 1 {
		return nil, corrupt("relation %s.%s: identity %q", m.Schema, m.Name, m.Identity)
	}
	r := &change.Relation{OID: m.OID, Schema: m.Schema, Name: m.Name, Identity: change.Identity(m.Identity[0])}
	for _, c := range m.Columns {
		r.Columns = append(r.Columns, change.Column(c))
	}
	return r, nil
}

// Checkpoint says how far a partition has come, stored as a map.
type Checkpoint struct {
	// LSN of the last transaction or barrier that every live shape of the
	// partition has in its log; Seq is the change log message that ended it.
	LSN uint64 `msgpack:"lsn"`
	Seq uint64 `msgpack:"seq"`
	// FloorLSN and FloorSeq are where a new owner starts to read: nothing
	// below is needed any more, neither by a shape nor to tell which
	// transactions a new snapshot may not see yet.
	FloorLSN uint64 `msgpack:"floor_lsn"`
	FloorSeq uint64 `msgpack:"floor_seq"`
	// Parked are the shapes that LSN does not speak of, because they are in a
	// unit or behind: each of them has everything up to a place of its own.
	Parked []ParkedAt `msgpack:"parked,omitempty"`
	// History is that of the change log in which the LSNs are places; "" if it
	// is not known. In another one they say nothing.
	History string `msgpack:"history,omitempty"`
	At      int64  `msgpack:"at"` // microseconds since 1970-01-01 UTC
}

// EncodeCheckpoint returns the message's body.
func EncodeCheckpoint(c Checkpoint) ([]byte, error) { return encodeMap("checkpoint", c) }

// DecodeCheckpoint reads a body that EncodeCheckpoint wrote.
func DecodeCheckpoint(data []byte) (Checkpoint, error) {
	var c Checkpoint
	return c, decodeMap("checkpoint", data, &c)
}

// A map's body is the version, then the map.
func encodeMap(what string, v any) ([]byte, error) {
	b, err := msgpack.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", what, err)
	}
	return append([]byte{Version}, b...), nil
}

func decodeMap(what string, data []byte, v any) error {
	r := &reader{b: data}
	if r.version(); r.err != nil {
		return fmt.Errorf("%s: %w", what, r.err)
	}
	body := r.b
	if r.skip(0); r.err != nil {
		return fmt.Errorf("%s: %w", what, r.err)
	}
	if len(r.b) > 0 {
		return corrupt("%s: %d bytes behind it", what, len(r.b))
	}
	if err := msgpack.Unmarshal(body, v); err != nil {
		return corrupt("%s: %v", what, err)
	}
	return nil
}
