package client

import (
	"context"
	"log/slog"
	"strings"
	"time"
)

// hearTries is how often the subscription is made again when the server has
// refused something, and it cannot be told whether that was it.
const hearTries = 5

// subscribe makes what is stored in the log be told to the run. The order closes the
// gap between catching up and live: what is stored after the subscription stands is
// told, what was before is in the log.
func (r *run) subscribe(ctx context.Context) (unsubscribe func(), err error) {
	nc := r.shape.client.nc
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
			ctx, cancel := context.WithTimeout(ctx, answerTimeout)
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

func (r *run) liveSubject() string {
	return r.shape.client.source.LiveSubject(r.shape.info.Partition, r.shape.info.Handle)
}

// unheard is the error for a user who may not hear of what is stored in the log.
func (r *run) unheard() error {
	subject := r.liveSubject()
	if err := refusal(r.shape.client.nc, r.refused, `Subscription to "`+subject+`"`); err != nil {
		return permanentError(r.what("hear of the log on "+subject), err)
	}
	return nil
}

// failedForGood is the error of a call that makes no request, so trying again
// would change nothing.
func (r *run) failedForGood(doing string, err error) error {
	if r.shape.client.nc.IsClosed() {
		return r.closed()
	}
	return permanentError(r.what(doing), err)
}

// rumor is what came on core NATS and the log does not know.
type rumor struct {
	since time.Time // when that was noticed first
	next  time.Time // when to ask the log again
	pause *backoff
}

// verify asks the log about what was told. A replica may be behind, so the log
// is asked more than once, and not more often than now and then.
func (r *run) verify(ctx context.Context, told head) error {
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
	r.rumor.pause.reset()
	return nil
}

// unconfirmed notes that the log does not know what was told.
func (r *run) unconfirmed(ctx context.Context, told head) error {
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

// IsLive reports whether a subject is one on which this package hears of what is stored in a log. A
// nats.ErrSlowConsumer about a subscription on it is harmless: what was dropped is read from the log.
func IsLive(subject string) bool {
	parts := strings.Split(subject, ".")
	return len(parts) == 5 && parts[0] == "sb" && parts[2] == "live"
}
