package main

import (
	"context"
	"fmt"
	"time"

	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// shape is a shape and how many rows its log must come to hold.
type shape struct {
	*client.Shape

	source topology.Source
	want   int64
}

// create makes a shape and waits until it is live.
func (l *lab) create(ctx context.Context, source topology.Source, def client.Definition) (*shape, error) {
	cl, err := client.New(l.nc, string(source))
	if err != nil {
		return nil, err
	}
	s, err := cl.Create(ctx, def)
	if err != nil {
		return nil, err
	}
	return &shape{Shape: s, source: source}, poll(ctx, pollEvery/5, "the shape of "+def.Table+" is live", func() (bool, error) {
		info, err := s.Refresh(ctx)
		if err == nil && (info.State == control.StateEnded || info.State == control.StateDeleting) {
			err = fmt.Errorf("it is %s: %s", info.State, info.Reason)
		}
		return info.State == control.StateLive, err
	})
}

// complete reports whether a commit marker stands in the shape's log behind which the shape has the rows it must come to
// have, and since when: JetStream's time of the message with the marker.
func (l *lab) complete(ctx context.Context, s *shape) (since time.Time, ok bool, err error) {
	info := s.Info()
	st, err := l.js.Stream(ctx, s.source.ShapeStream(info.Partition))
	if err != nil {
		return time.Time{}, false, err
	}
	m, err := st.GetLastMsgForSubject(ctx, s.source.LogSubject(info.Partition, info.Handle))
	if err != nil {
		return time.Time{}, false, err
	}
	tail, err := wire.ParseTail(m.Header.Get(topology.HeaderTail))
	switch {
	case err != nil:
		return time.Time{}, false, err
	case tail.Ended:
		return time.Time{}, false, fmt.Errorf("shape %s has ended", info.Handle)
	case tail.CommittedRows > s.want:
		return time.Time{}, false, fmt.Errorf("shape %s has %d rows, its query only %d", info.Handle, tail.CommittedRows, s.want)
	}
	return m.Time, tail.CommittedRows == s.want, nil
}
