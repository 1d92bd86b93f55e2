package materializer

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
)

// owner is the member that a partition belongs to, by rendezvous hashing: every
// process finds the same one, and who comes or goes moves only the partitions that
// it gets or had. "" without members.
func owner(members []string, partition int) string {
	best, most := "", uint64(0)
	for _, m := range members {
		h := sha256.Sum256([]byte(strconv.Itoa(partition) + "/" + m))
		if n := binary.BigEndian.Uint64(h[:]); best == "" || n > most || n == most && m < best {
			best, most = m, n
		}
	}
	return best
}
