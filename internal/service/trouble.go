package service

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"
)

// Trouble is what a service met and tried again, for its status. It is safe for concurrent use.
type Trouble struct {
	Retries   atomic.Int64 // attempts that ended in an error
	LastError atomic.Value // string
}

// Last returns the last error's text, "" if there was none.
func (t *Trouble) Last() string {
	last, _ := t.LastError.Load().(string)
	return last
}

// Note counts an attempt that ended in an error.
func (t *Trouble) Note(err error) {
	t.Retries.Add(1)
	t.LastError.Store(err.Error())
}

// Retry counts and logs an attempt to do what (an infinitive) that ended in err, and pauses before
// the next one. The end of ctx is no trouble.
func (t *Trouble) Retry(ctx context.Context, log *slog.Logger, what string, err error, pause *Backoff) {
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		err = errEnded
	}
	t.Note(err)
	log.WarnContext(ctx, "trying again", slog.String("to", what), slog.Any("error", err))
	pause.Wait(ctx)
}

var errEnded = errors.New("it ended by itself")

// Endless turns the end of something that should last as long as ctx into an error.
func Endless(ctx context.Context, err error) error {
	if err == nil && ctx.Err() == nil {
		return errEnded
	}
	return err
}

// Keep does what over and over until ctx ends: f returns only in trouble, which Retry handles.
func (t *Trouble) Keep(ctx context.Context, log *slog.Logger, what string, f func(context.Context) error) {
	var pause Backoff
	for ctx.Err() == nil {
		began := time.Now()
		err := f(ctx)
		pause.Lasted(time.Since(began))
		t.Retry(ctx, log, what, err, &pause)
	}
}
