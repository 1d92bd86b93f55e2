package stream

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/change"
)

// Change is a message of the change log.
type Change struct {
	Received

	Step Step
	From Place // where the reader was before
	// Lost is the LSN up to which something between the message before and this
	// one is gone for good; 0 if nothing is. Who has everything up to there
	// already, from elsewhere, goes on.
	Lost change.LSN
}

// Changes reads the change log from a place on, and tells what was lost. Not
// safe for concurrent use.
type Changes struct {
	log    jetstream.Stream
	reader *Reader
	at     Place
	told   uint64 // sequence of the last message that was read and has an LSN; 0 for none. What stands behind it is somebody else's
	began  bool   // something has been read
}

// OpenChanges starts behind a place. seq is where to begin, as Seek found it in
// the stream of that epoch; it may be lower. ahead is how many bytes the server may send in advance: ReadAhead, or a
// share of it (see Aheads). It fails with ErrReplaced if the stream is another one.
func OpenChanges(ctx context.Context, js jetstream.JetStream, log jetstream.Stream, epoch Epoch, at Place, seq uint64, ahead int) (*Changes, error) {
	name := log.CachedInfo().Config.Name
	r, err := openReader(ctx, js, name, seq, ahead)
	if err != nil {
		return nil, err
	}
	if r.Epoch() != epoch {
		r.Close() //nolint:contextcheck // it has to work after ctx has ended
		return nil, fmt.Errorf("read stream %s: %w (of %s, now of %s)", name, ErrReplaced, epoch, r.Epoch())
	}
	r.jumps = true
	return &Changes{log: log, reader: r, at: at}, nil
}

// Next waits for the next message that the place does not have whole. It
// returns ErrReplaced when the log is another one, or has gone back; then reading begins
// again at an LSN. It returns ctx's error when ctx ends first; the reader can be
// used again after that one only. A message whose header cannot be read is
// returned with a zero Step.
func (c *Changes) Next(ctx context.Context) (Change, error) {
	for {
		m, passed, err := c.Read(ctx)
		if err != nil || !passed {
			return m, err
		}
	}
}

// Read is Next for whoever must not wait at the end of the log: it returns each
// message, and passed when the place has it whole already.
func (c *Changes) Read(ctx context.Context) (m Change, passed bool, err error) {
	r, err := c.reader.Next(ctx)
	if err != nil {
		return Change{}, false, err
	}
	s, err := StepOf(&r)
	if err != nil { // its reader finds the same, and knows what to do
		from := c.at
		c.at.Seq, c.began = r.Seq, true
		return Change{Received: r, From: from}, false, nil //nolint:nilerr // see above
	}
	lost, err := c.judge(ctx, &r, s)
	if err != nil {
		return Change{}, false, err
	}
	from := c.at
	c.at, c.told, c.began = c.at.Pass(s), r.Seq, true
	return Change{Received: r, Step: s, From: from, Lost: lost}, s.Told && from.Has(s.LSN), nil
}

// judge finds out what is lost when m comes next.
func (c *Changes) judge(ctx context.Context, m *Received, s Step) (change.LSN, error) {
	follows := c.at.Seq == 0 || m.First == c.at.Seq+1
	if follows && c.began && c.at.Lost(s, 0) == 0 {
		return 0, nil
	}
	info, err := c.log.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("look at the change log: %w", err)
	}
	if EpochOf(info) != c.reader.Epoch() {
		return 0, ErrReplaced
	}
	lost := c.at.Lost(s, info.State.FirstSeq)
	if lost == 0 || !c.began {
		return lost, nil
	}
	// What seems lost may stand where the reader believes to have been.
	seq, err := Seek(ctx, c.log, c.at.LSN+1, 0)
	if err != nil {
		return 0, err
	}
	if seq <= c.told {
		return 0, ErrReplaced
	}
	return lost, nil
}

// Place is where the reader is: behind the last message that was read.
func (c *Changes) Place() Place { return c.at }

// Close frees what the reader has on the server.
func (c *Changes) Close() { c.reader.Close() }
