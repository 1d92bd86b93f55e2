// Package course decides how a shape goes on when its partition is taken over: at a start, and when the partition comes to a process that runs.
package course

import (
	"fmt"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// reasonLost ends shapes whose log is gone while their record is not: NATS
// lost power before the log was on disk. A new snapshot needs a new handle,
// because readers of the old one would go on behind it.
const reasonLost = "the shape's log was lost with data that JetStream had not yet written to disk"

// Course is how a shape goes on.
type Course uint8

// The courses.
const (
	None    Course = iota // it has ended and nothing is left to do
	End                   // its last word is missing
	Create                // its creation begins, or goes on
	Uncover               // the same, and its record says wrongly that a checkpoint covers it
	Follow                // it goes on from the checkpoint and passes over what its log has
	Begin                 // it has subqueries, and its creation begins
	Group                 // it has subqueries, and goes on from a place of its own
)

// Standing is all that tells how a shape goes on.
type Standing struct {
	Record     *registry.Shape
	Tail       wire.Tail
	Checkpoint wire.Checkpoint // of its partition
	Parked     shapelog.Parked // in the checkpoint, by handle; nil where there is no need to look them up for many shapes
	Other      string          // why the shape is of another history, whose LSNs mean nothing here
	Bad        error           // the tail cannot be read
}

// Route is a course, and what belongs to it.
type Route struct {
	Course   Course
	Reason   string     // of End
	At       change.LSN // of Group: all up to here is in the log
	Deferred string     // but this
}

// Of decides how a shape goes on. Whether its inner shapes are still there
// is not known here.
func Of(s Standing) Route {
	rec, tail := s.Record, s.Tail
	end := func(reason string) Route { return Route{Course: End, Reason: reason} }
	switch {
	case s.Bad != nil && rec.State == control.StateEnded: // readers find the reason in its record
		return Route{}
	case s.Bad != nil && rec.State == control.StateDeleting:
		return end(live.ReasonDeleted)
	case s.Bad != nil:
		return end(fmt.Sprintf("the end of the shape's log cannot be read (%v); create it again", s.Bad))
	case rec.State == control.StateEnded && tail.Ended:
		return Route{}
	case rec.State == control.StateEnded: // the record reached the disk, the log's last word did not
		return end(rec.Reason)
	case s.Other != "" && tail.Began && !tail.Ended && rec.State != control.StateDeleting:
		return end(s.Other)
	case tail.Ended || rec.State == control.StateDeleting:
		return end(reasonOf(rec))
	case len(rec.Subqueries) > 0 && !tail.Began && rec.State == control.StateCreating:
		return Route{Course: Begin}
	case len(rec.Subqueries) > 0 && tail.Began:
		at, deferred, ok := s.place()
		if !ok {
			return end(reasonLost)
		}
		return Route{Course: Group, At: at, Deferred: deferred}
	case rec.State == control.StateCreating:
		return Route{Course: Create}
	case !tail.Began:
		return end(reasonLost)
	case change.LSN(s.Checkpoint.LSN) < rec.SnapshotLSN:
		// The checkpoint that covered the shape was lost. It goes on from
		// where its creation began to read.
		return Route{Course: Uncover}
	}
	return Route{Course: Follow}
}

// place finds where the log of a shape with subqueries stands.
func (s Standing) place() (at change.LSN, deferred string, ok bool) {
	if s.Parked == nil {
		s.Parked = shapelog.ParkedIn(&s.Checkpoint)
	}
	return shapelog.PlaceOf(s.Record, s.Record.State == control.StateLive, s.Tail, change.LSN(s.Checkpoint.LSN), s.Parked)
}

func reasonOf(rec *registry.Shape) string {
	if rec.State == control.StateDeleting {
		return live.ReasonDeleted
	}
	return "the shape had ended before a restart"
}
