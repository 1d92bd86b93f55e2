package shape

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/fnv"
	"strconv"
	"time"
)

// Definition is what an app asks for: the columns of a table's rows for which
// a where clause is true.
type Definition struct {
	Schema  string    `json:"schema"`
	Table   string    `json:"table"`
	Columns []string  `json:"columns"` // in the table's order
	Where   string    `json:"where,omitempty"`
	Params  []*string `json:"params,omitempty"` // values of $1, $2, … as Postgres reads them, arrays also in JSON; nil for NULL
}

// ID names the set of definitions that are the same shape: those with the
// same table, the same columns and the same meaning of the where clause.
// canonicalWhere is predicate.Predicate.Canonical of the clause. The result is
// 16 hex digits.
func (d Definition) ID(canonicalWhere string) string {
	h := sha256.New()
	write := func(s string) {
		h.Write(strconv.AppendInt(nil, int64(len(s)), 10))
		h.Write([]byte{':'})
		h.Write([]byte(s))
	}
	write(d.Schema)
	write(d.Table)
	write(canonicalWhere)
	for _, c := range d.Columns {
		write(c)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Partition is where a shape that is made now belongs among so many partitions, from 0 to
// partitions-1. Where a shape is that there is already, its record says: a source may have got more partitions since.
func Partition(id string, partitions int) int {
	h := fnv.New32a()
	h.Write([]byte(id))
	return int(h.Sum32() % uint32(partitions))
}

// NewHandle names a new incarnation of a shape. It stands in subjects, so it has
// letters, digits and - only.
func NewHandle(id string, now time.Time) string {
	return id + "-" + strconv.FormatInt(now.UnixMicro(), 36)
}
