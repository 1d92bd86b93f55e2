package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/change"
)

// ErrMoved says that the change log is not the one whose reading began:
// another stream under the same name, or one that has gone back, as when the
// server lost its unsynced tail or a backup was restored. Whoever reads begins again at an LSN.
var ErrMoved = errors.New("the change log has been replaced or has gone back; reading begins again at the same LSN")

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
	log      jetstream.Stream
	reader   *Reader
	created  time.Time
	at       Place
	consumer string
	began    bool // something has been read

	// The wait for a message is limited, so that there is a look at the stream
	// now and then. A limit serves many messages of one caller.
	caller, limited context.Context //nolint:containedctx // see above
	cancel          context.CancelFunc
}

// lookEvery is how often a reader that waits looks whether its stream is still there.
const lookEvery = 3 * time.Second

// OpenChanges starts behind a place. seq is where to begin, as Seek found it; it
// may be lower. created is when the stream was created that seq and at speak of.
func OpenChanges(ctx context.Context, js jetstream.JetStream, log jetstream.Stream, created time.Time, at Place, seq uint64) (*Changes, error) {
	r, err := OpenReader(ctx, js, log.CachedInfo().Config.Name, seq)
	if err != nil {
		return nil, err
	}
	r.jumps = true
	return &Changes{log: log, reader: r, created: created, at: at}, nil
}

// Next waits for the next message that the place does not have whole. It
// returns ErrMoved when the log is another one, and ctx's error when ctx ends first;
// the reader can be used again after that one only.
func (c *Changes) Next(ctx context.Context) (Change, error) {
	for {
		m, err := c.wait(ctx)
		if err != nil {
			return Change{}, err
		}
		s, err := StepOf(&m)
		if err != nil {
			return Change{}, err
		}
		lost, err := c.judge(ctx, &m, s)
		if err != nil {
			return Change{}, err
		}
		from, passed := c.at, s.Told && c.at.Has(s.LSN)
		c.at, c.consumer, c.began = c.at.Pass(s), m.Consumer, true
		if !passed {
			return Change{Received: m, Step: s, From: from, Lost: lost}, nil
		}
	}
}

// wait waits for a message, and looks at the stream while none comes: one that
// was made again might stand still for ever where the old one went on.
func (c *Changes) wait(ctx context.Context) (Received, error) {
	for {
		if c.caller != ctx {
			c.unlimit()
			c.caller = ctx //nolint:fatcontext // it replaces the one before
			c.limited, c.cancel = context.WithTimeout(ctx, lookEvery)
		}
		m, err := c.reader.Next(c.limited) //nolint:contextcheck // it is made of ctx
		if err == nil || c.limited.Err() == nil {
			return m, err
		}
		c.unlimit()
		if ctx.Err() != nil {
			return m, context.Cause(ctx)
		}
		if _, err := c.look(ctx); err != nil {
			return m, err
		}
	}
}

func (c *Changes) unlimit() {
	if c.cancel != nil {
		c.cancel()
		c.caller, c.limited, c.cancel = nil, nil, nil
	}
}

// look makes sure that the stream is still the one that is read, and returns
// its first sequence.
func (c *Changes) look(ctx context.Context) (first uint64, err error) {
	info, err := c.log.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("look at the change log: %w", err)
	}
	if !info.Created.Equal(c.created) || info.State.LastSeq < c.at.Seq {
		return 0, ErrMoved
	}
	return info.State.FirstSeq, nil
}

// judge finds out what is lost when m comes next.
func (c *Changes) judge(ctx context.Context, m *Received, s Step) (change.LSN, error) {
	follows := c.at.Seq == 0 || m.First == c.at.Seq+1
	if follows && c.began && m.Consumer == c.consumer && c.at.Lost(s, 0) == 0 {
		return 0, nil
	}
	first, err := c.look(ctx)
	if err != nil {
		return 0, err
	}
	lost := c.at.Lost(s, first)
	if lost == 0 || !c.began {
		return lost, nil
	}
	// What seems lost may stand where the reader believes to have been.
	seq, err := Seek(ctx, c.log, c.at.LSN+1, 0)
	if err != nil {
		return 0, err
	}
	if seq <= c.at.Seq {
		return 0, ErrMoved
	}
	return lost, nil
}

// Place is where the reader is: behind the last message that Next returned or passed over.
func (c *Changes) Place() Place { return c.at }

// Close frees what the reader has on the server.
func (c *Changes) Close() {
	c.unlimit()
	c.reader.Close()
}
