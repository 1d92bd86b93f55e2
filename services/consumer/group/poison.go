package group

import (
	"errors"

	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/live"
)

// spare drops the error of a change log message that does not concern a group's
// table, or that the stage has behind it, and makes that of one that does the end of its shapes.
func (st *stage) spare(err error) error {
	e, ok := errors.AsType[*changelog.PoisonError](err)
	if !ok {
		return err
	}
	if e.LSN != 0 && e.LSN <= st.At || e.LSN == 0 && e.Seq <= st.seq {
		return nil
	}
	for _, f := range st.members {
		if live.MayMiss(e, st.g.s.Cfg.Source, f) {
			return &live.FinalError{Err: errors.New(e.Reason())}
		}
	}
	return nil
}
