package client

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
)

// askAgain is how long an answer is waited for before the request is sent again: the consumer that got it may be gone.
// Answers take milliseconds; some wait for a lock on a table and are the same for who asks twice. No more than these, so
// that consumers that are slow do not get more to do for it.
var askAgain = []time.Duration{5 * time.Second, 10 * time.Second}

// ask sends a request, and again when there was no answer for each of these times, and returns the first answer to any of
// them.
func ask(ctx context.Context, nc *nats.Conn, subject string, data []byte, again []time.Duration) (*nats.Msg, error) {
	inbox := nc.NewInbox()
	answers, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answers.Unsubscribe() }()
	for i := 0; ; i++ {
		if err := nc.PublishRequest(subject, inbox, data); err != nil {
			return nil, err
		}
		waiting, cancel := ctx, context.CancelFunc(func() {})
		if i < len(again) {
			waiting, cancel = context.WithTimeout(ctx, again[i])
		}
		m, err := answers.NextMsgWithContext(waiting)
		cancel()
		switch {
		case err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) && i < len(again):
			continue
		case err != nil:
			return nil, err
		}
		return m, nil
	}
}
