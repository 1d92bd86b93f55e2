package consumer

import (
	"context"
	"time"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
)

// cursor reads the change log for shapes that are not with the main loop: what
// the main loop has read lately from its memory, what is older from the stream.
// Owned by one goroutine.
type cursor struct {
	s      *session
	at     stream.Place // what was read, and before that where the shapes stand
	next   uint64       // sequence of the next message
	buffer []stream.Received
	reader *stream.Changes // open while the next message is not in memory
	ahead  int             // what reader may be sent in advance, a share of the session's
	looked int             // messages read from it since the last look into memory
}

// readOn is how many messages are read from the stream before the next look
// whether the rest is in memory by now.
const readOn = 32

// begin puts the cursor where everything up to an LSN is there already, and
// the next message has the sequence next or a later one.
func (c *cursor) begin(lsn change.LSN, next uint64) {
	c.at, c.next = stream.Place{LSN: lsn, Seq: max(next, 1) - 1}, next
}

// read returns the next message. ok is false at the main loop's place. It
// returns stream.ErrGap when something that should have come is gone.
func (c *cursor) read(ctx context.Context) (m stream.Received, ok bool, err error) {
	for {
		switch {
		case len(c.buffer) > 0:
			m = c.buffer[0]
			c.buffer[0], c.buffer = stream.Received{}, c.buffer[1:]
			step, err := stream.StepOf(&m)
			if err != nil { // the feed says so
				c.at.Seq, c.next = m.Seq, m.Seq+1
				return m, true, nil //nolint:nilerr // see above
			}
			if c.at.Lost(step, 0) != 0 {
				return m, false, stream.ErrGap
			}
			passed := step.Told && c.at.Has(step.LSN)
			c.at, c.next = c.at.Pass(step), m.Seq+1
			if passed {
				continue
			}
			return m, true, nil
		case c.reader != nil && c.looked < readOn:
			m, passed, err := c.reader.Read(ctx)
			if err != nil {
				return m.Received, false, err
			}
			if m.Lost != 0 {
				return m.Received, false, stream.ErrGap
			}
			if c.looked++; m.Pending == 0 {
				c.looked = readOn // the next one may be long in coming
			}
			c.at, c.next = c.reader.Place(), m.Seq+1
			if passed {
				continue
			}
			return m.Received, true, nil
		}
		c.looked = 0
		held := false
		err := c.s.onMain(ctx, func(context.Context) error {
			var messages []stream.Received
			if messages, held = c.s.recent.from(c.next); held { // else they are not the next ones
				c.buffer = append(c.buffer[:0], messages...)
			}
			return nil
		})
		if err != nil {
			return m, false, err
		}
		if held {
			c.close() //nolint:contextcheck // what it says to the server has to arrive after ctx has ended, too
			if len(c.buffer) == 0 {
				return m, false, nil
			}
		} else if c.reader == nil {
			if err = c.open(ctx); err != nil {
				return m, false, err
			}
		}
	}
}

// wait waits until the main loop has read the next message. From time to time it
// calls nudge, if that is not nil.
func (c *cursor) wait(ctx context.Context, nudge func()) error {
	var there chan struct{}
	err := c.s.onMain(ctx, func(context.Context) error {
		if c.s.read.seq < c.next {
			there = make(chan struct{})
			c.s.arrivals = append(c.s.arrivals, arrival{seq: c.next, ch: there})
		}
		return nil
	})
	if err != nil || there == nil {
		return err
	}
	t := time.NewTicker(c.s.c.cfg.Nudge)
	defer t.Stop()
	for {
		select {
		case <-there:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-t.C:
		}
		if nudge != nil {
			nudge()
		}
	}
}

// open begins to read the stream.
func (c *cursor) open(ctx context.Context) (err error) {
	c.ahead = c.s.aheads.Take()
	if c.reader, err = c.s.openChanges(ctx, c.at, c.next, c.ahead); err != nil {
		c.s.aheads.Give(c.ahead)
	}
	return err
}

// close frees the reader on the server.
func (c *cursor) close() {
	if c.reader != nil {
		c.reader.Close()
		c.reader = nil
		c.s.aheads.Give(c.ahead)
	}
}
