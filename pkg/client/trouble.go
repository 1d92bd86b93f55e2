package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/pkg/control"
)

// stallAfter is how long reading fails before the app is told so.
const stallAfter = time.Second

// trouble is what keeps a run from reading on; the zero value is none.
type trouble struct {
	since time.Time // of the first failure without a success behind it
	doubt time.Time // of the first failure behind which there was nothing but doubt
	told  bool      // the app knows
}

// on reports whether there is any.
func (t *trouble) on() bool { return !t.since.IsZero() }

// failed decides about a failure: what is returned ends the run, after nil it
// is tried again.
func (r *run) failed(ctx context.Context, doing string, err error) error {
	nc := r.shape.client.nc
	kind := sortError(err)
	switch {
	case kind == fateRefetch || kind == fateDecided:
		return err
	case kind == fateBroken:
		return r.cursor.broken(r.cursor.pos, "%v", err)
	case nc.IsClosed():
		return r.closed()
	case kind == fatePermanent:
		return permanentError(r.what(doing), err)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	now := time.Now()
	t := &r.trouble
	if t.since.IsZero() {
		t.since = now
	}
	if kind != fateDoubt {
		t.doubt = time.Time{}
	} else {
		if t.doubt.IsZero() {
			t.doubt = now
		}
		if over := r.over(ctx); over != nil {
			return over
		}
		if now.Sub(t.doubt) > r.opts.Patience {
			return permanentError(r.what(doing), err)
		}
	}
	if !nc.IsConnected() {
		err = fmt.Errorf("there is no connection to NATS: %w", errors.Join(err, nc.LastError()))
	}
	r.log.WarnContext(ctx, "reading a shape failed, trying again", slog.String("doing", doing), slog.Any("error", err))
	if t.told || now.Sub(t.since) < stallAfter {
		return nil
	}
	t.told = true
	return r.cursor.emit(Stalled{Since: t.since, Err: fmt.Errorf("%s: %w", r.what(doing), err)})
}

// well ends the trouble, if there was any.
func (r *run) well() {
	if r.trouble.told {
		r.behind = true // so that the app is told when it is up to date again
	}
	r.trouble = trouble{}
}

func (r *run) what(doing string) string {
	return fmt.Sprintf("%s of shape %s", doing, r.shape.info.Handle)
}

// over asks the control plane whether this life of the shape is over. It
// returns nil if not, or if that cannot be learned now.
func (r *run) over(ctx context.Context) error {
	info, err := r.ask(ctx)
	return r.ends(info, err)
}

func (r *run) ask(ctx context.Context) (control.Shape, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return r.shape.Refresh(ctx)
}

// ends returns the error for a shape that is over, as the control plane's
// answer says.
func (r *run) ends(info control.Shape, err error) error {
	switch {
	case errors.Is(err, ErrNotFound) || err == nil && info.Handle != r.shape.info.Handle:
		return &MustRefetchError{Handle: r.shape.info.Handle, Reason: "it was deleted"}
	case err == nil && info.State == control.StateEnded:
		return &MustRefetchError{Handle: r.shape.info.Handle, Reason: info.Reason}
	}
	return nil
}

// closed is the error for a connection that does not come back.
func (r *run) closed() error {
	return permanentError(r.what("read the log"), closedError(r.shape.client.nc))
}

// closedError says why a connection was closed, if that is known.
func closedError(nc *nats.Conn) error {
	if last := nc.LastError(); last != nil && !errors.Is(last, nats.ErrConnectionClosed) {
		return fmt.Errorf("%w: %w", nats.ErrConnectionClosed, last)
	}
	return nats.ErrConnectionClosed
}
