package wire

import (
	"slices"

	"github.com/shapebus/shapebus/pkg/change"
)

// Generation is a beginning of a shape's log that a fold has made: the shape's rows in a snapshot, and
// the part of the log that makes of them what the shape is at a commit marker. Stored as a map.
type Generation struct {
	Number   uint64 `msgpack:"number"` // from 1; the snapshot with which the log began is generation 0
	Segment  uint64 `msgpack:"segment"`
	Messages uint64 `msgpack:"messages"` // whole ones under the segment's subject
	Rows     uint64 `msgpack:"rows"`     // in them
	Size     int64  `msgpack:"size"`     // of their bodies together
	Snapshot string `msgpack:"snapshot"` // as change.Snapshot prints it
	// SnapshotLSN and Besides tell the transactions in the rows from those that are not: the rows hold what
	// committed below SnapshotLSN, but for what committed at one of Besides, which are ascending.
	SnapshotLSN uint64   `msgpack:"snapshot_lsn"`
	Besides     []uint64 `msgpack:"besides,omitempty"`
	// LSN and Op are the offset of the commit marker at which the generation is the shape.
	LSN uint64 `msgpack:"lsn"`
	Op  uint64 `msgpack:"op"`
	// Bytes is the size of the log before what has to be read of it, as Tail.Bytes counts it, and Through
	// its size up to the end of the message that holds the marker. Equal: nothing has to be read.
	Bytes    int64  `msgpack:"bytes"`
	Through  int64  `msgpack:"through"`
	Previous uint64 `msgpack:"previous"` // segment of the generation before, whose rows go after a while
	At       int64  `msgpack:"at"`       // microseconds since 1970-01-01 UTC
}

// Offset is that of the marker at which the generation is the shape.
func (g *Generation) Offset() change.Offset {
	return change.Offset{LSN: change.LSN(g.LSN), Op: g.Op}
}

// Commit is the LSN up to which the generation has everything that concerns the shape.
func (g *Generation) Commit() change.LSN { return change.LSN(max(g.LSN, g.SnapshotLSN)) }

// Holds reports whether what committed at an LSN, and stands in the log up to the marker, is in the rows.
func (g *Generation) Holds(lsn change.LSN) bool {
	if uint64(lsn) >= g.SnapshotLSN {
		return false
	}
	_, besides := slices.BinarySearch(g.Besides, uint64(lsn))
	return !besides
}

// EncodeGeneration returns the message's body.
func EncodeGeneration(g *Generation) ([]byte, error) { return encodeMap("generation", g) }

// DecodeGeneration reads a body that EncodeGeneration wrote.
func DecodeGeneration(data []byte) (*Generation, error) {
	g := &Generation{}
	if err := decodeMap("generation", data, g); err != nil {
		return nil, err
	}
	switch {
	case g.Bytes < 0 || g.Through < g.Bytes:
		return nil, corrupt("generation %d: it is the log from %d bytes on, through %d", g.Number, g.Bytes, g.Through)
	case !slices.IsSorted(g.Besides):
		return nil, corrupt("generation %d: the transactions that are not in its rows do not ascend", g.Number)
	}
	return g, nil
}
