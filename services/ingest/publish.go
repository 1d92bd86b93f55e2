package ingest

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/internal/tracing"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// publisher makes messages of what a batch decides and appends them to the
// change log. It is the batch's output.
//
// Whole transactions on one table are packed: they gather in one message that
// waits. It leaves when it is full, when anything else has to follow, and, with
// nothing in flight, when all that has come in is taken (drained). So an idle
// pipeline sends at once and a busy one sends few messages.
type publisher struct {
	ctx       context.Context //nolint:containedctx // the session's, which the calls of a batch belong to
	appender  *stream.Appender
	relations *relations
	controlTo string
	fullBytes int // what a message with several fragments may have
	counters  *counters
	failpoint func(failpoint.Point)

	// mu orders messages: whoever holds it may append. It is held while an
	// append waits for room, so nobody who must not block may take it.
	mu      sync.Mutex
	body    *wire.ChangeBuilder
	waiting waiting
	after   change.LSN // of the message before the next one

	trace   *tracing.Commit // of the transaction being read; nil where it is not traced
	window  *syncWindow
	idle    chan struct{} // one signal: nothing is in flight
	blocked atomic.Int64  // since when an append has been waiting, Unix nanoseconds; 0 = it is not
	freed   atomic.Int64  // when the last append returned, and with it the reader
}

// waiting is the message being packed; its fragments are in the body.
type waiting struct {
	subject  string
	relation string
	lsn      change.LSN // of its last transaction
	end      change.LSN // what it lets pass
	rows     int
	txns     int
}

const (
	// packRoom keeps messages with several fragments below what travels
	// undivided. They must not travel in parts: the header names the last
	// transaction, and parts whose writer died before the end would stand before
	// earlier transactions.
	packRoom = 6 << 10
	// fragmentHead is the most that the head of a transaction on one table takes.
	fragmentHead = 256
)

// syncWindow is an ackWindow that several goroutines use. Its mutex is never
// held while anything blocks.
type syncWindow struct {
	mu   sync.Mutex
	w    *ackWindow
	last change.LSN // of the last message that is stored
}

// stored is what is in the log: everything below acked, and last is the LSN of
// the last message in it.
func (s *syncWindow) stored() (acked, last change.LSN) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.acked(), s.last
}

func (s *syncWindow) do(f func(*ackWindow)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.w)
}

// newPublisher makes a publisher whose first message stands behind one at after.
func newPublisher(ctx context.Context, cfg *Config, a *stream.Appender, after change.LSN, r *relations, w *syncWindow, c *counters) *publisher {
	return &publisher{
		ctx:       ctx,
		after:     after,
		appender:  a,
		relations: r,
		controlTo: cfg.Source.ControlSubject(),
		fullBytes: min(cfg.FragmentBytes, a.Undivided()-packRoom),
		counters:  c,
		failpoint: cfg.Failpoint,
		body:      wire.NewChangeBuilder(),
		window:    w,
		idle:      make(chan struct{}, 1),
	}
}

func (p *publisher) describe(t *table) (*wire.Control, error) {
	return p.relations.describe(p.ctx, t.rel, t.fingerprint)
}

func (p *publisher) renew(t *table, c *wire.Control, lsn change.LSN, stored bool) error {
	if !stored {
		if err := p.control(c, lsn, true); err != nil { // the ops that need it follow
			return err
		}
	}
	// The entry must be there before the key says that it is.
	if err := p.appender.Flush(p.ctx); err != nil {
		return err
	}
	return p.relations.renew(p.ctx, t.rel.OID, t.fingerprint)
}

func (p *publisher) fragment(t *table, head *change.Fragment, ops *wire.FragmentBuilder, more bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.sendWaiting(); err != nil {
		return err
	}
	rows := ops.Ops()
	p.body.Add(head, ops)
	err := p.sendTraced(t.subject, head.LSN, more, p.body.Bytes(), 0, head.Trace)
	p.body.Reset()
	if err != nil {
		return err
	}
	p.counters.rows.Add(uint64(rows))
	p.counters.fragments.Add(1)
	if !head.Last {
		p.failpoint(failpoint.BetweenFragments)
	}
	return nil
}

func (p *publisher) whole(t *table, head *change.Fragment, ops *wire.FragmentBuilder) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := &p.waiting
	if w.txns > 0 && (w.subject != t.subject || w.relation != t.fingerprint || p.body.Len()+ops.Len()+fragmentHead > p.fullBytes) {
		if err := p.sendWaiting(); err != nil {
			return err
		}
	}
	w.subject, w.relation, w.lsn = t.subject, t.fingerprint, head.LSN
	w.rows += ops.Ops()
	w.txns++
	p.body.Add(head, ops)
	if p.body.Len() >= p.fullBytes {
		return p.sendWaiting()
	}
	return nil
}

// drained is told that the next message has yet to come in. What waits leaves
// now, or when what is in flight has arrived.
func (p *publisher) drained() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.appender.InFlight() > 0 {
		return nil
	}
	return p.sendWaiting()
}

// sendWaiting sends the message being packed, if there is one. The caller
// holds mu.
func (p *publisher) sendWaiting() error {
	w := p.waiting
	if w.txns == 0 {
		return nil
	}
	p.waiting = waiting{}
	err := p.send(w.subject, w.lsn, false, p.body.Bytes(), w.end)
	p.body.Reset()
	if err != nil {
		return err
	}
	p.counters.rows.Add(uint64(w.rows))
	p.counters.fragments.Add(uint64(w.txns))
	return nil
}

func (p *publisher) control(c *wire.Control, lsn change.LSN, more bool) error {
	body, err := wire.EncodeControl(*c)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.sendWaiting(); err != nil {
		return err
	}
	return p.send(p.controlTo, lsn, more, body, 0)
}

func (p *publisher) received(lsn change.LSN) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting.txns > 0 {
		p.waiting.end = max(p.waiting.end, lsn)
		return nil
	}
	p.window.do(func(w *ackWindow) {
		w.received(lsn)
		p.counters.acked.Store(uint64(w.acked()))
	})
	return nil
}

// send appends one message. The caller holds mu.
func (p *publisher) send(subject string, lsn change.LSN, more bool, body []byte, end change.LSN) error {
	return p.sendTraced(subject, lsn, more, body, end, "")
}

// sendTraced is send for a message of the transaction being read, whose trace has a context.
func (p *publisher) sendTraced(subject string, lsn change.LSN, more bool, body []byte, end change.LSN, trace string) error {
	stored := func(uint64) { p.stored(lsn) }
	if trace != "" {
		done := p.trace.Message()
		stored = func(uint64) { p.stored(lsn); done() }
	}
	p.window.do(func(w *ackWindow) { w.publish(end) })
	if p.appender.InFlight() == 0 {
		p.counters.moved.Now()
	}
	p.blocked.Store(time.Now().UnixNano())
	m := stream.Message{Subject: subject, Header: stream.Traced(stream.ChangeHeader(lsn, p.after, more), trace), Data: body}
	err := p.appender.Append(p.ctx, m, stored)
	p.after = lsn
	p.freed.Store(time.Now().UnixNano())
	p.blocked.Store(0)
	if err != nil {
		return topology.Explain(err)
	}
	p.counters.published.Store(uint64(lsn))
	p.counters.publishedAt.Now()
	p.counters.messages.Add(1)
	p.counters.bytes.Add(uint64(len(body)))
	p.failpoint(failpoint.AfterPublish)
	return nil
}

// stored is called by the appender for each message in turn and must not block.
func (p *publisher) stored(lsn change.LSN) {
	p.window.do(func(w *ackWindow) {
		w.stored()
		p.window.last = lsn
		p.counters.acked.Store(uint64(w.acked()))
	})
	p.counters.ackedAt.Now()
	p.counters.moved.Now()
	p.failpoint(failpoint.AfterAck)
	if p.appender.InFlight() == 0 {
		select {
		case p.idle <- struct{}{}:
		default:
		}
	}
}

// sendWhenIdle sends what waits whenever nothing is in flight, until ctx ends.
func (p *publisher) sendWhenIdle(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.idle:
			if err := p.drained(); err != nil {
				return err
			}
		}
	}
}

// finish sends what waits and gives JetStream until ctx ends to store it.
func (p *publisher) finish(ctx context.Context) error {
	p.mu.Lock()
	err := p.sendWaiting()
	p.mu.Unlock()
	if err != nil {
		return err
	}
	return p.appender.Flush(ctx)
}

// blockedFor is how long an append has been waiting for room.
func (p *publisher) blockedFor(now time.Time) time.Duration {
	since := p.blocked.Load()
	if since == 0 {
		return 0
	}
	return now.Sub(time.Unix(0, since))
}
