package plane

import (
	"context"
	"time"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/services/consumer/plane/refuse"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// fold notes in a shape's record that its log is to be folded; whoever writes the log does it.
func (p *server) fold(ctx context.Context, req control.ShapeRequest) (any, error) {
	var refused error
	rec, err := p.cfg.Shapes.Change(ctx, shapelog.IDOf(req.Shape), func(r *registry.Shape) bool {
		switch refused = nil; {
		case !names(req.Shape, r):
			refused = refuse.With(control.CodeNotFound, "shape %s: it has ended; its successor is %s", req.Shape, r.Handle)
		case r.State != control.StateLive:
			refused = refuse.With(control.CodeConflict, "shape %s is %s; only a live one can be folded", req.Shape, r.State)
		case r.Fold != nil && !r.Fold.Asked.IsZero() && r.Fold.Began.IsZero(): // somebody else has asked
		default:
			asked := registry.Fold{}
			if r.Fold != nil {
				asked = *r.Fold
			}
			asked.Asked = time.Now().UTC()
			r.Fold = &asked
			return true
		}
		return false
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return nil, err
	}
	return p.describe(ctx, rec)
}

// folds adds what a shape's record and generation say of its folds.
func folds(s *control.Shape, rec *registry.Shape, g *shapelog.Beginning) {
	s.SinceBytes = s.LogBytes
	if g != nil {
		at := time.UnixMicro(g.At).UTC()
		s.Generation, s.SinceBytes, s.Folded = g.Number, max(s.LogBytes-g.Bytes, 0), &at
		if s.Rows < 0 && s.Offset == g.Offset() && g.Bytes == g.Through { // a unit has left open how many there are
			s.Rows = int64(g.Rows)
		}
	}
	if f := rec.Fold; f != nil {
		s.Fold = &control.Fold{Rows: f.Rows, Error: f.Error}
		if !f.Asked.IsZero() {
			s.Fold.Asked = &f.Asked
		}
		if !f.Began.IsZero() {
			s.Fold.Began = &f.Began
		}
	}
}
