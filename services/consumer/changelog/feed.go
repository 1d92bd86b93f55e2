package changelog

import (
	"context"
	"errors"
	"fmt"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// Feed decodes change log messages: one feed per reader. It reuses its decoder's memory.
type Feed struct {
	source    topology.Source
	relations *registry.Relations
	decoder   *wire.ChangeDecoder
	at        stream.Place // what was read before is not read again, as where the log repeats what it had lost
	last      firstOf      // of the messages before
	message   uint64       // the first sequence of the message being read
	More      bool         // something of the same LSN follows on the message read last
}

// NewFeed makes a feed of a source, whose relations are in a registry. Feeds that are read by one goroutine may share a
// decoder, whose memory is as large as the largest message.
func NewFeed(source topology.Source, relations *registry.Relations, decoder *wire.ChangeDecoder) *Feed {
	return &Feed{source: source, relations: relations, decoder: decoder}
}

// firstOf is where what has an LSN begins in the change log.
type firstOf struct {
	lsn change.LSN
	seq uint64
}

// First is the sequence of the first message that holds something of an LSN, which is in the message being
// read: its transaction may have begun in a message before, with other tables, or with what became of a table.
// Whoever begins to read there has everything of that LSN before it.
func (fd *Feed) First(lsn change.LSN) uint64 {
	if lsn == fd.last.lsn {
		return fd.last.seq
	}
	return fd.message
}

// Read calls onControl with a control entry, or onFragment with each fragment
// of the message in turn. It returns the message's LSN. A message that cannot be
// understood gives a poisonError, maybe behind some of its fragments.
func (fd *Feed) Read(ctx context.Context, m stream.Received,
	onControl func(wire.Control) error,
	onFragment func(*change.Relation, *change.Fragment) error,
) (change.LSN, error) {
	isControl := m.Subject == fd.source.ControlSubject()
	poison := func(lsn change.LSN, err error) error {
		return &PoisonError{Subject: m.Subject, Seq: m.Seq, LSN: lsn, Control: isControl, Err: err}
	}
	step, err := stream.StepOf(&m)
	if err != nil {
		return 0, poison(0, err)
	}
	lsn, at := step.LSN, fd.at
	fd.at, fd.message, fd.More = fd.at.Pass(step), m.First, step.More
	defer func() { fd.last = firstOf{lsn, fd.First(lsn)} }()
	if step.Told && at.Has(lsn) {
		return lsn, nil
	}
	if isControl {
		c, err := wire.DecodeControl(m.Data)
		if err == nil && c.Kind == wire.ControlRelation {
			err = checkFingerprint(c.Relation)
		}
		if err != nil {
			return lsn, poison(lsn, err)
		}
		return lsn, onControl(c)
	}
	trace := stream.Trace(m.Header)
	var failed error // what is wrong is not the message
	err = fd.decoder.Decode(m.Data, func(f *change.Fragment) error {
		if step.Told && at.Has(f.LSN) {
			return nil
		}
		if err := checkFingerprint(f.Relation); err != nil {
			return err
		}
		f.Trace = trace
		rel, err := fd.relations.Get(ctx, f.Relation)
		if errors.Is(err, registry.ErrUnreadable) { // then nobody understands the message
			return err
		}
		if err == nil {
			err = onFragment(rel, f)
		}
		failed = err
		return err
	})
	if err != nil && failed == nil {
		return lsn, poison(lsn, err)
	}
	if err != nil {
		return 0, fmt.Errorf("change log message %d: %w", m.Seq, failed)
	}
	return lsn, nil
}

// checkFingerprint finds what the name of a schema cannot be: it becomes a key.
func checkFingerprint(s string) error {
	if !change.IsFingerprint(s) {
		return fmt.Errorf("it names a schema %.40q, which is no fingerprint", s)
	}
	return nil
}
