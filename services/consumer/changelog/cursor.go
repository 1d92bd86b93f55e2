package changelog

import (
	"context"
	"time"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
)

// Cursor reads the change log for shapes that are not with the main loop: what
// the main loop has read lately from its memory, what is older from the stream.
// Owned by one goroutine.
type Cursor struct {
	log    *Log
	recent *Recent
	at     stream.Place // what was read, and before that where the shapes stand
	Next   uint64       // sequence of the next message
	buffer []stream.Received
	reader *stream.Changes // open while the next message is not in memory
	ahead  int             // what reader may be sent in advance, a share of the session's
	looked int             // messages read from it since the last look into memory
}

// readOn is how many messages are read from the stream before checking again whether memory
// holds the rest.
const readOn = 32

// NewCursor makes a cursor that reads nothing yet.
func NewCursor(log *Log, recent *Recent) *Cursor { return &Cursor{log: log, recent: recent} }

// Begin puts the cursor where everything up to an LSN is there already, and
// the next message has the sequence next or a later one.
func (c *Cursor) Begin(lsn change.LSN, next uint64) {
	c.at, c.Next = stream.Place{LSN: lsn, Seq: max(next, 1) - 1}, next
}

// Read returns the next message. ok is false at the main loop's place. It
// returns stream.ErrGap when something that should have come is gone.
func (c *Cursor) Read(ctx context.Context) (m stream.Received, ok bool, err error) {
	for {
		switch {
		case len(c.buffer) > 0:
			m = c.buffer[0]
			c.buffer[0], c.buffer = stream.Received{}, c.buffer[1:]
			step, err := stream.StepOf(&m)
			if err != nil { // the feed says so
				c.at.Seq, c.Next = m.Seq, m.Seq+1
				return m, true, nil //nolint:nilerr // see above
			}
			if c.at.Lost(step, 0) != 0 {
				return m, false, stream.ErrGap
			}
			passed := step.Told && c.at.Has(step.LSN)
			c.at, c.Next = c.at.Pass(step), m.Seq+1
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
			c.at, c.Next = c.reader.Place(), m.Seq+1
			if passed {
				continue
			}
			return m.Received, true, nil
		}
		c.looked = 0
		var held bool
		if c.buffer, held = c.recent.From(c.Next, c.buffer[:0]); held {
			c.Close() //nolint:contextcheck // what it says to the server has to arrive after ctx has ended, too
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

// Wait waits until the main loop has read the next message. Each time that every has gone by it
// calls nudge, if that is not nil.
func (c *Cursor) Wait(ctx context.Context, every time.Duration, nudge func()) error {
	there := c.recent.Wait(c.Next, 0)
	if there == nil {
		return nil
	}
	t := time.NewTicker(every)
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
func (c *Cursor) open(ctx context.Context) (err error) {
	c.ahead = c.log.aheads.Take()
	if c.reader, err = c.log.open(ctx, c.at, c.Next, c.ahead); err != nil {
		c.log.aheads.Give(c.ahead)
	}
	return err
}

// Close frees the reader on the server.
func (c *Cursor) Close() {
	if c.reader != nil {
		c.reader.Close()
		c.reader = nil
		c.log.aheads.Give(c.ahead)
	}
}
