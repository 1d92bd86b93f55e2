package logread

import (
	"context"
	"log/slog"
	"time"
)

// hearTries is how often the subscription is made again when the server has
// refused something, and it cannot be told whether that was it.
const hearTries = 5

// subscribe makes what is stored in the log be told to the reader. The order closes the
// gap between catching up and live: what is stored after the subscription stands is
// told, what was before is in the log.
func (r *Reader) subscribe(ctx context.Context) (unsubscribe func(), err error) {
	nc := r.shape.Link.nc
	for try := 1; ; try++ {
		r.refused = nc.LastError()
		sub, err := nc.Subscribe(r.liveSubject(), r.live.push)
		if err != nil {
			return nil, r.failedForGood("subscribe to the log", err)
		}
		unsubscribe = func() { _ = sub.Unsubscribe() }
		// push is quick, so little piles up in front of it; what would is dropped and read from the log.
		if err := sub.SetPendingLimits(-1, max(r.opts.Buffer, pendingLeast)); err != nil {
			unsubscribe()
			return nil, r.failedForGood("subscribe to the log", err)
		}
		err = r.retry(ctx, "reach NATS to read the log", func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, AnswerTimeout)
			defer cancel()
			return nc.FlushWithContext(ctx)
		})
		if err == nil {
			err = r.unheard()
		}
		if err != nil {
			unsubscribe()
			return nil, err
		}
		// Something else that was refused meanwhile may hide that this was. Who is refused one thing
		// after another reads what it can: the log is looked into now and then anyway.
		if refusal(nc, r.refused) == nil || try == hearTries {
			return unsubscribe, nil
		}
		unsubscribe()
	}
}

func (r *Reader) liveSubject() string {
	return r.shape.Link.source.LiveSubject(r.shape.Info.Partition, r.shape.Info.Handle)
}

// unheard is the error for a user who may not hear of what is stored in the log.
func (r *Reader) unheard() error {
	subject := r.liveSubject()
	if err := refusal(r.shape.Link.nc, r.refused, `Subscription to "`+subject+`"`); err != nil {
		return Permanent(r.what("hear of the log on "+subject), err)
	}
	return nil
}

// failedForGood is the error of a call that makes no request, so trying again
// would change nothing.
func (r *Reader) failedForGood(doing string, err error) error {
	if r.shape.Link.nc.IsClosed() {
		return r.closed()
	}
	return Permanent(r.what(doing), err)
}

// rumor is what came on core NATS and the log does not know.
type rumor struct {
	since time.Time // when that was noticed first
	next  time.Time // when to ask the log again
	pause *Backoff
}

// verify asks the log about what was told. A replica may be behind, so the log
// is asked more than once, and not more often than now and then.
func (r *Reader) verify(ctx context.Context, told head) error {
	if pause := time.Until(r.rumor.next); pause > 0 {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-r.live.wake: // it may be what follows
		case <-timer.C:
		}
		return nil
	}
	r.full = true
	if err := r.glance(ctx); err != nil {
		return err
	}
	h, _, odd := r.live.head(r.cursor.place)
	r.unsure = r.unsure || odd
	if r.trouble.on() || !r.cursor.due(h.tail) {
		return r.unconfirmed(ctx, told)
	}
	r.rumor.since, r.rumor.next = time.Time{}, time.Time{}
	r.rumor.pause.Reset()
	return nil
}

// unconfirmed notes that the log does not know what was told.
func (r *Reader) unconfirmed(ctx context.Context, told head) error {
	now := time.Now()
	if r.rumor.since.IsZero() {
		r.rumor.since = now
	}
	r.rumor.next = now.Add(r.rumor.pause.take())
	if !r.trouble.on() && now.Sub(r.rumor.since) > r.opts.Patience {
		r.log.WarnContext(ctx, "what came on core NATS is not in the log", slog.String("subject", r.liveSubject()))
		r.live.disbelieve(told)
		r.rumor.since = time.Time{}
	}
	return nil
}
