package client

import "context"

// Reach is how far a shape's log is known to have come: who has read it up to Offset has every transaction that
// committed up to LSN. What a unit deferred may change nothing in the shape, and then the log does not say that it has
// come; Reach does.
type Reach struct {
	Offset Offset // the log's last commit marker
	LSN    LSN
}

// Reach asks the control plane and the log how far this life of the shape has come. It is nil when that cannot be said:
// while the shape is being created, and once it has ended.
func (s *Shape) Reach(ctx context.Context) (*Reach, error) {
	g, err := s.reached(ctx)
	if err != nil || g == nil {
		return nil, err
	}
	return &Reach{Offset: g.offset, LSN: g.lsn}, nil
}
