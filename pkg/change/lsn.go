package change

import (
	"fmt"
	"strconv"
	"strings"
)

// LSN is a Postgres write-ahead log position in bytes since the cluster was
// initialised. The zero LSN is "no position": Postgres never writes there.
type LSN uint64

// ParseLSN reads Postgres' text form of an LSN, such as "16/B374D848".
func ParseLSN(s string) (LSN, error) {
	hi, lo, ok := strings.Cut(s, "/")
	if !ok {
		return 0, fmt.Errorf("LSN %q: want two hexadecimal numbers such as 16/B374D848", s)
	}
	h, err := strconv.ParseUint(hi, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("LSN %q: %w", s, err)
	}
	l, err := strconv.ParseUint(lo, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("LSN %q: %w", s, err)
	}
	return LSN(h<<32 | l), nil
}

// String returns Postgres' text form.
func (l LSN) String() string { return fmt.Sprintf("%X/%X", uint32(l>>32), uint32(l)) }

// IsZero reports whether l is no position.
func (l LSN) IsZero() bool { return l == 0 }
