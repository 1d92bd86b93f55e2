// Package failpoint names the places at which crash tests have a service die. A service calls the
// Failpoint of its Config there; what happens then is the caller's decision. Each point says what
// the death leaves and what recovery must do, and so what a test that uses it has to prove.
//
// The points are numbers, not texts, so that a misspelt point does not compile. Their
// texts are for people, the environment variable SHAPEBUS_FAILPOINT and logs.
package failpoint

import (
	"fmt"
	"strconv"
	"strings"
)

// Point is a place in a service.
type Point uint8

// Service is a service, or a command, that has points.
type Service string

// The services.
const (
	Ingest       Service = "ingest"
	Consumer     Service = "consumer"
	Materializer Service = "materializer"
	Source       Service = "source" // shapebus source set
)

// String is the point's name in the environment, in logs and in docs/OPERATIONS.md.
func (p Point) String() string {
	if int(p) < len(points) && points[p].name != "" {
		return points[p].name
	}
	return fmt.Sprintf("failpoint %d", uint8(p))
}

// Of returns the points of a service, in the order in which they are documented.
func Of(s Service) (all []Point) {
	for p := range points {
		if points[p].name != "" && points[p].service == s {
			all = append(all, Point(p)) //nolint:gosec // there are few
		}
	}
	return all
}

// Find returns the point of a service that has the name.
func Find(s Service, name string) (Point, error) {
	all := Of(s)
	names := make([]string, len(all))
	for i, p := range all {
		if names[i] = p.String(); names[i] == name {
			return p, nil
		}
	}
	return 0, fmt.Errorf("%s has no failpoint %q; it has %s", s, name, strings.Join(names, ", "))
}

// Never is the Failpoint of a process that no test wants to die.
func Never(Point) {}

// Death says when a process dies: the Count-th time, from 1, that it comes to Point.
type Death struct {
	Point Point
	Count int64
}

// At is the death at the count-th time that a process comes to a point.
func At(p Point, count int) *Death { return &Death{Point: p, Count: int64(count)} }

// String is the form that ParseDeath reads; "" for none.
func (d *Death) String() string {
	if d == nil {
		return ""
	}
	return fmt.Sprintf("%s:%d", d.Point, d.Count)
}

// ParseDeath reads "<name>:<count>", or "<name>" for the first time, for a service.
func ParseDeath(s Service, text string) (*Death, error) {
	name, count, counted := strings.Cut(text, ":")
	d := &Death{Count: 1}
	var err error
	if counted {
		if d.Count, err = strconv.ParseInt(count, 10, 64); err != nil || d.Count < 1 {
			return nil, fmt.Errorf("%q: want <name> or <name>:<count from 1>", text)
		}
	}
	if d.Point, err = Find(s, name); err != nil {
		return nil, err
	}
	return d, nil
}
