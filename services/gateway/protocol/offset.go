package protocol

import (
	"cmp"
	"math"
	"strconv"
	"strings"

	"github.com/shapebus/shapebus/pkg/change"
)

// Offset is a place that a client names: the beginning, the present end, or behind an entry. An entry
// whose LSN is 0 is a chunk of the snapshot, and its index the chunk's number.
type Offset struct {
	change.Offset

	Beginning bool
	Now       bool
}

// snapshotEnd is the index that "inf" stands for: behind every chunk.
const snapshotEnd = math.MaxUint64

// Behind is the place behind an entry of the log. Index 0 is never given out: clients make such places of an LSN themselves.
func Behind(at change.Offset) Offset {
	if at.Op == 0 {
		at.Op = snapshotEnd
	}
	return Offset{Offset: at}
}

// BehindChunk is the place behind a chunk of the snapshot.
func BehindChunk(n int) Offset { return Offset{Offset: change.Offset{Op: uint64(n)}} }

// ParseOffset reads -1, now and <lsn>_<op>, where op may be inf.
func ParseOffset(s string) (Offset, bool) {
	switch s {
	case "-1", "-1_0":
		return Offset{Beginning: true}, true
	case "now":
		return Offset{Now: true}, true
	}
	lsn, op, ok := strings.Cut(s, "_")
	if !ok || !digits(lsn) || op != "inf" && !digits(op) {
		return Offset{}, false
	}
	l, err := strconv.ParseUint(lsn, 10, 64)
	if err != nil {
		return Offset{}, false
	}
	o := uint64(snapshotEnd)
	if op != "inf" {
		if o, err = strconv.ParseUint(op, 10, 64); err != nil {
			return Offset{}, false
		}
	}
	return Offset{Offset: change.Offset{LSN: change.LSN(l), Op: o}}, true
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// InSnapshot reports whether the place is behind a chunk of the snapshot, or behind all of it.
func (o Offset) InSnapshot() bool { return !o.Beginning && !o.Now && o.LSN == 0 }

// Chunk is the number of the snapshot's chunk that comes next; false behind the whole snapshot.
func (o Offset) Chunk() (int, bool) {
	switch {
	case o.Beginning:
		return 0, true
	case o.LSN != 0 || o.Now || o.Op >= math.MaxInt32:
		return 0, false
	}
	return int(o.Op) + 1, true
}

// Compare orders places. It is not for now.
func (o Offset) Compare(p Offset) int {
	if o.Beginning || p.Beginning {
		return cmp.Compare(rank(o), rank(p))
	}
	return o.Offset.Compare(p.Offset)
}

func rank(o Offset) int {
	if o.Beginning {
		return 0
	}
	return 1
}

// String is the form that clients are given.
func (o Offset) String() string {
	switch {
	case o.Beginning:
		return "-1"
	case o.Now:
		return "now"
	case o.Op == snapshotEnd:
		return strconv.FormatUint(uint64(o.LSN), 10) + "_inf"
	}
	return o.Offset.String()
}
