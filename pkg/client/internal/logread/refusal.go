package logread

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// refusalEvery is how often a request that waits for its answer looks
	// whether the server has refused it.
	refusalEvery = 100 * time.Millisecond
	// probeTimeout bounds the test whether answers can reach this user.
	probeTimeout = 2 * time.Second
)

// WithRefusal makes a request on a subject, and ends it when the server refuses it. NATS
// tells the connection so and not who made the request, which would wait for its answer in vain.
//
// What the connection was told last can hide what it was told before. So a refusal may be
// missed and is found when the request is made again.
func WithRefusal(ctx context.Context, nc *nats.Conn, subject string, request func(context.Context) error) error {
	before := nc.LastError()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	refused := func() error { return refusal(nc, before, `Publish to "`, subject+`"`) }
	var timer atomic.Pointer[time.Timer]
	timer.Store(time.AfterFunc(refusalEvery, func() {
		if err := refused(); err != nil {
			cancel(err)
		} else if t := timer.Load(); t != nil && ctx.Err() == nil {
			t.Reset(refusalEvery)
		}
	}))
	err := request(ctx)
	timer.Load().Stop()
	switch no := refused(); {
	case err == nil:
		return nil
	case no != nil:
		return no
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout):
		if no := probeInbox(ctx, nc); no != nil {
			return no
		}
	}
	return err
}

// refusal is what the server has told the connection since before, if it was
// that it permits something whose description holds all these words.
func refusal(nc *nats.Conn, before error, words ...string) error {
	last := nc.LastError()
	if !errors.Is(last, nats.ErrPermissionViolation) || last == before { //nolint:errorlint // whether it is the very same
		return nil
	}
	for _, w := range words {
		if !strings.Contains(last.Error(), w) {
			return nil
		}
	}
	return last
}

// probeInbox tells whether this user may receive answers at all. Requests share a
// subscription that was refused once, long ago perhaps.
func probeInbox(ctx context.Context, nc *nats.Conn) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
	defer cancel()
	inbox := nc.NewRespInbox() //nolint:forbidigo // whether one of these can be heard is the question
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil // that is not what is asked here
	}
	defer func() { _ = sub.Unsubscribe() }()
	if nc.FlushWithContext(ctx) != nil {
		return nil
	}
	if refused := refusal(nc, nil, `Subscription to "`+inbox+`"`); refused != nil {
		return fmt.Errorf("no answer can be received: %w", refused)
	}
	return nil
}
