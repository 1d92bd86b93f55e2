package consumer

import (
	"fmt"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// course is how a shape goes on when its partition is taken over.
type course uint8

const (
	courseNone    course = iota // it has ended and nothing is left to do
	courseEnd                   // its last word is missing
	courseCreate                // its creation begins, or goes on
	courseUncover               // the same, and its record says wrongly that a checkpoint covers it
	courseFollow                // it goes on from the checkpoint and passes over what its log has
	courseBegin                 // it has subqueries, and its creation begins
	courseGroup                 // it has subqueries, and goes on from a place of its own
)

// standing is all that tells how a shape goes on.
type standing struct {
	rec    *registry.Shape
	tail   wire.Tail
	cp     wire.Checkpoint // of its partition
	parked shapelog.Parked // of cp, by handle; nil where there is no need to look them up for many shapes
	other  string          // why the shape is of another history, whose LSNs mean nothing here
	bad    error           // the tail cannot be read
}

// route is a course, and what belongs to it.
type route struct {
	course course
	reason string     // of courseEnd
	at     change.LSN // of courseGroup: all up to here is in the log
	aside  string     // but this
}

// route decides how a shape goes on. Whether its inner shapes are still there
// is not known here.
func (s standing) route() route {
	rec, tail := s.rec, s.tail
	end := func(reason string) route { return route{course: courseEnd, reason: reason} }
	switch {
	case s.bad != nil && rec.State == control.StateEnded: // readers find the reason in its record
		return route{}
	case s.bad != nil && rec.State == control.StateDeleting:
		return end(live.ReasonDeleted)
	case s.bad != nil:
		return end(fmt.Sprintf("the end of the shape's log cannot be read (%v); create it again", s.bad))
	case rec.State == control.StateEnded && tail.Ended:
		return route{}
	case rec.State == control.StateEnded: // the record reached the disk, the log's last word did not
		return end(rec.Reason)
	case s.other != "" && tail.Began && !tail.Ended && rec.State != control.StateDeleting:
		return end(s.other)
	case tail.Ended || rec.State == control.StateDeleting:
		return end(reasonOf(rec))
	case len(rec.Subqueries) > 0 && !tail.Began && rec.State == control.StateCreating:
		return route{course: courseBegin}
	case len(rec.Subqueries) > 0 && tail.Began:
		at, aside, ok := s.place()
		if !ok {
			return end(reasonLost)
		}
		return route{course: courseGroup, at: at, aside: aside}
	case rec.State == control.StateCreating:
		return route{course: courseCreate}
	case !tail.Began:
		return end(reasonLost)
	case change.LSN(s.cp.LSN) < rec.SnapshotLSN:
		// The checkpoint that covered the shape was lost. It goes on from
		// where its creation began to read.
		return route{course: courseUncover}
	}
	return route{course: courseFollow}
}

// place finds where the log of a shape with subqueries stands.
func (s standing) place() (at change.LSN, aside string, ok bool) {
	if s.parked == nil {
		s.parked = shapelog.ParkedIn(&s.cp)
	}
	return shapelog.PlaceOf(s.rec, s.rec.State == control.StateLive, s.tail, change.LSN(s.cp.LSN), s.parked)
}
