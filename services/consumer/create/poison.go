package create

import (
	"errors"

	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/live"
)

// spare lets the members end that a change log message concerns which cannot be read.
func (q *CatchUp) spare(err error) error {
	e, ok := errors.AsType[*changelog.PoisonError](err)
	if !ok {
		return err
	}
	for _, p := range q.Members {
		if p.f.Ended == "" && live.MayMiss(e, q.s.Cfg.Source, p.f) {
			p.f.Ended = e.Reason()
			q.router.Remove(p.f)
		}
	}
	return nil
}
