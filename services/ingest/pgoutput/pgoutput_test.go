package pgoutput

import (
	"encoding/binary"

	"github.com/shapebus/shapebus/pkg/change"
)

// What a walsender sends, written by the documentation of pgoutput and not by
// the decoder.

func msgBegin(xid change.XID, lsn change.LSN, time int64) []byte {
	b := []byte{'B'}
	b = binary.BigEndian.AppendUint64(b, uint64(lsn))
	b = binary.BigEndian.AppendUint64(b, uint64(time-postgresEpoch))
	return binary.BigEndian.AppendUint32(b, uint32(xid))
}

func msgCommit(lsn, end change.LSN, time int64) []byte {
	b := []byte{'C', 0}
	b = binary.BigEndian.AppendUint64(b, uint64(lsn))
	b = binary.BigEndian.AppendUint64(b, uint64(end))
	return binary.BigEndian.AppendUint64(b, uint64(time-postgresEpoch))
}

func msgRelation(r *change.Relation) []byte {
	b := binary.BigEndian.AppendUint32([]byte{'R'}, r.OID)
	b = append(append(b, r.Schema...), 0)
	b = append(append(b, r.Name...), 0)
	b = append(b, byte(r.Identity))
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.Columns)))
	for _, c := range r.Columns {
		b = append(b, 1)
		b = append(append(b, c.Name...), 0)
		b = binary.BigEndian.AppendUint32(b, c.Type)
		b = binary.BigEndian.AppendUint32(b, uint32(c.TypeMod))
	}
	return b
}

func appendTuple(b []byte, row change.Row) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(row)))
	for _, v := range row {
		switch {
		case v == nil:
			b = append(b, 'n')
		case change.IsUnchanged(v):
			b = append(b, 'u')
		default:
			b = binary.BigEndian.AppendUint32(append(b, 't'), uint32(len(v)))
			b = append(b, v...)
		}
	}
	return b
}

func msgRow(oid uint32, op *change.Op) []byte {
	letter := map[change.Kind]byte{change.Insert: 'I', change.Update: 'U', change.Delete: 'D'}[op.Kind]
	b := binary.BigEndian.AppendUint32([]byte{letter}, oid)
	if op.Old != nil {
		if op.KeyOnly {
			b = append(b, 'K')
		} else {
			b = append(b, 'O')
		}
		b = appendTuple(b, op.Old)
	}
	if op.New != nil {
		b = appendTuple(append(b, 'N'), op.New)
	}
	return b
}

func msgTruncate(oids ...uint32) []byte {
	b := binary.BigEndian.AppendUint32([]byte{'T'}, uint32(len(oids)))
	b = append(b, 0)
	for _, oid := range oids {
		b = binary.BigEndian.AppendUint32(b, oid)
	}
	return b
}

func msgLogical(transactional bool, lsn change.LSN, prefix, payload string) []byte {
	b := []byte{'M', 0}
	if transactional {
		b[1] = 1
	}
	b = binary.BigEndian.AppendUint64(b, uint64(lsn))
	b = append(append(b, prefix...), 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	return append(b, payload...)
}
