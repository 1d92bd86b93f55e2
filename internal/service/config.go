package service

import (
	"fmt"
	"math/rand/v2"
	"os"
)

// Default sets a field of a Config that was left zero.
func Default[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// ProcessName is a name for this process among members and in leases: people find the process by it,
// and no two calls return the same one, so that two services in one process are not taken for each other.
func ProcessName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s-%d-%04x", host, os.Getpid(), rand.Uint32()&0xffff)
}
