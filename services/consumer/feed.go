package consumer

import (
	"context"
	"fmt"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/registry"
	"github.com/shapebus/shapebus/pkg/stream"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// feed decodes change log messages. It reuses its memory: one feed per reader.
type feed struct {
	source    topology.Source
	relations *registry.Relations
	decoder   wire.ChangeDecoder
}

// read calls onControl with a control entry, or onFragment with each fragment
// of the message in turn. It returns the message's LSN.
func (fd *feed) read(ctx context.Context, m stream.Received,
	onControl func(wire.Control) error,
	onFragment func(*change.Relation, *change.Fragment) error,
) (change.LSN, error) {
	lsn, err := stream.LSN(m.Header)
	if err != nil {
		return 0, fmt.Errorf("change log message %d: %w", m.Seq, err)
	}
	if m.Subject == fd.source.ControlSubject() {
		c, err := wire.DecodeControl(m.Data)
		if err != nil {
			return 0, fmt.Errorf("change log message %d: %w", m.Seq, err)
		}
		return lsn, onControl(c)
	}
	err = fd.decoder.Decode(m.Data, func(f *change.Fragment) error {
		rel, err := fd.relations.Get(ctx, f.Relation)
		if err != nil {
			return err
		}
		return onFragment(rel, f)
	})
	if err != nil {
		return 0, fmt.Errorf("change log message %d: %w", m.Seq, err)
	}
	return lsn, nil
}

// replay offers one message to one shape that is not in the router, and
// appends what comes of it. The shape's ended is set when it cannot go on.
func (s *session) replay(ctx context.Context, fd *feed, f *follower, m stream.Received) (change.LSN, error) {
	lsn, err := fd.read(ctx, m,
		func(c wire.Control) error {
			if c.Kind == wire.ControlReset && f.concerns(change.LSN(c.LSN)) {
				f.ended = c.Reason
			}
			return nil
		},
		func(rel *change.Relation, fr *change.Fragment) error {
			if rel.OID != f.relation.OID || f.ended != "" || f.checkRelation(rel, fr) || f.skips(fr) {
				return nil
			}
			for i := range fr.Ops {
				f.apply(fr, &fr.Ops[i])
			}
			if fr.Last {
				f.commit(fr)
			}
			return nil
		})
	if err != nil {
		return 0, err
	}
	f.pass(lsn)
	if f.ended != "" {
		return lsn, nil
	}
	return lsn, s.parts[f.partition].appendLog(ctx, f)
}
