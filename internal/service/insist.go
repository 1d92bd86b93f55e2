package service

import (
	"time"

	"github.com/shapebus/shapebus/pkg/topology"
)

// Insist tells a refusal that only a person ends from one that a cluster gives while it starts. The zero value is ready; it is
// not safe for concurrent use.
type Insist struct{ since time.Time }

// insistFor is how long a refusal has to last.
const insistFor = 10 * time.Second

// Final takes the error of an attempt at a time, and reports whether trying again is of no use.
func (i *Insist) Final(err error, now time.Time) bool {
	switch {
	case topology.Permanent(err) == nil:
		i.since = time.Time{}
	case i.since.IsZero():
		i.since = now
	}
	return !i.since.IsZero() && now.Sub(i.since) >= insistFor
}
