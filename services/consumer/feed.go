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
	at        stream.Place // what was read before is not read again, as where the log repeats what it had lost
}

// read calls onControl with a control entry, or onFragment with each fragment
// of the message in turn. It returns the message's LSN.
func (fd *feed) read(ctx context.Context, m stream.Received,
	onControl func(wire.Control) error,
	onFragment func(*change.Relation, *change.Fragment) error,
) (change.LSN, error) {
	step, err := stream.StepOf(&m)
	if err != nil {
		return 0, err
	}
	lsn, at := step.LSN, fd.at
	fd.at = fd.at.Pass(step)
	if step.Told && at.Has(lsn) {
		return lsn, nil
	}
	if m.Subject == fd.source.ControlSubject() {
		c, err := wire.DecodeControl(m.Data)
		if err != nil {
			return 0, fmt.Errorf("change log message %d: %w", m.Seq, err)
		}
		return lsn, onControl(c)
	}
	err = fd.decoder.Decode(m.Data, func(f *change.Fragment) error {
		if step.Told && at.Has(f.LSN) {
			return nil
		}
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
