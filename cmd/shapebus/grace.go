package main

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/health"
	"github.com/shapebus/shapebus/internal/pg"
)

// Passwords are changed while services run: in the server first, or in the file first, and the files of some arrive minutes
// later. So a service whose credentials are refused is not ready and tries again with what its files say then; one that has
// never worked ends at once, as somebody looks at it.

// grace is what a service knows of credentials that are refused. It is safe for concurrent use.
type grace struct {
	mu     sync.Mutex
	worked bool      // a session has had credentials that were right
	since  time.Time // of the first refusal after that
	err    error     // the last one
}

// waits takes the error of a session that ended, and whether it had got as far as to work. It reports whether to try again.
func (g *grace) waits(err error, worked bool, most time.Duration, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if worked {
		g.worked, g.since = true, time.Time{}
	}
	g.err = nil
	if !g.worked || !refuses(err) {
		return false
	}
	if g.since.IsZero() {
		g.since = now
	}
	g.err = fmt.Errorf("the credentials are refused: %w", err)
	return now.Sub(g.since) < most
}

// works notes that a session has credentials that are right.
func (g *grace) works() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = nil
}

// why is nil unless credentials were refused last.
func (g *grace) why() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// refuses reports whether an error says that a server does not believe who this is.
func refuses(err error) bool {
	if postgres, ok := errors.AsType[*pg.ConnectError](err); ok {
		return postgres.Denied()
	}
	for _, denial := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired} {
		if errors.Is(err, denial) {
			return true
		}
	}
	return false
}

// denied is the error of a service that goes on with the connections it has, while Postgres refuses new ones for too long.
func denied(f health.Facts, most time.Duration, now time.Time) error {
	if f.Denied.IsZero() || now.Sub(f.Denied) < most {
		return nil
	}
	return fmt.Errorf("the credentials have been refused for %s (--credential-grace): %s", now.Sub(f.Denied).Round(time.Second), f.Postgres)
}
