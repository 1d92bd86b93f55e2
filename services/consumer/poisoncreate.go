package consumer

import (
	"errors"

	"github.com/shapebus/shapebus/services/consumer/changelog"
)

// spare lets the members end that a change log message concerns which cannot be read.
func (q *pursuit) spare(err error) error {
	e, ok := errors.AsType[*changelog.PoisonError](err)
	if !ok {
		return err
	}
	for _, p := range q.members {
		if p.f.Ended == "" && mayMiss(e, q.s.cfg.Source, p.f) {
			p.f.Ended = e.Reason()
			q.router.Remove(p.f)
		}
	}
	return nil
}
