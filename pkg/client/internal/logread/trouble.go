package logread

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/shapebus/shapebus/pkg/client/event"
	"github.com/shapebus/shapebus/pkg/control"
)

// stallAfter is how long reading fails before the app is told so.
const stallAfter = time.Second

// trouble is what keeps a reader from reading on; the zero value is none.
type trouble struct {
	since time.Time // of the first failure without a success behind it
	doubt time.Time // of the first failure behind which there was nothing but doubt
	told  bool      // the app knows
}

// on reports whether there is any.
func (t *trouble) on() bool { return !t.since.IsZero() }

// failed decides about a failure: what is returned ends the reader, after nil it
// is tried again.
func (r *Reader) failed(ctx context.Context, doing string, err error) error {
	nc := r.shape.Link.nc
	kind := Sort(err)
	switch {
	case kind == FateRefetch || kind == FateDecided:
		return err
	case kind == FateBroken:
		return r.cursor.broken(r.cursor.pos, "%v", err)
	case nc.IsClosed():
		return r.closed()
	case kind == FatePermanent:
		return Permanent(r.what(doing), err)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	now := time.Now()
	t := &r.trouble
	if t.since.IsZero() {
		t.since = now
	}
	if kind != FateDoubt {
		t.doubt = time.Time{}
	} else if done := r.doubted(ctx, doing, err); done != nil {
		return done
	}
	if !nc.IsConnected() {
		err = fmt.Errorf("there is no connection to NATS: %w", errors.Join(err, nc.LastError()))
	}
	r.log.WarnContext(ctx, "reading a shape failed, trying again", slog.String("doing", doing), slog.Any("error", err))
	if t.told || now.Sub(t.since) < stallAfter {
		return nil
	}
	t.told = true
	return r.cursor.emit(event.Stalled{Since: t.since, Err: fmt.Errorf("%s: %w", r.what(doing), err)})
}

// doubted decides about a failure that passes soon or never. While the control plane
// says that the shape is there, it can only be this user who does not see its log;
// while nobody answers there either, the source may be about to come back.
func (r *Reader) doubted(ctx context.Context, doing string, err error) error {
	info, cannot := r.ask(ctx)
	if over := r.ends(info, cannot); over != nil {
		return over
	}
	t := &r.trouble
	if cannot != nil && Sort(cannot) == FateRetry {
		t.doubt = time.Time{}
		return nil
	}
	if t.doubt.IsZero() {
		t.doubt = time.Now()
	}
	if time.Since(t.doubt) > r.opts.Patience {
		return Permanent(r.what(doing), err)
	}
	return nil
}

// well ends the trouble, if there was any.
func (r *Reader) well() {
	if r.trouble.told {
		r.behind = true // so that the app is told when it is up to date again
	}
	r.trouble = trouble{}
}

func (r *Reader) what(doing string) string {
	return fmt.Sprintf("%s of shape %s", doing, r.shape.Info.Handle)
}

// ask asks the control plane after the shape.
func (r *Reader) ask(ctx context.Context) (control.Shape, error) {
	ctx, cancel := context.WithTimeout(ctx, AnswerTimeout)
	defer cancel()
	return r.shape.Ask(ctx)
}

// ends returns the error for a shape that is over, as the control plane's
// answer says.
func (r *Reader) ends(info control.Shape, err error) error {
	switch {
	case errors.Is(err, event.ErrNotFound) || err == nil && info.Handle != r.shape.Info.Handle:
		return &event.MustRefetchError{Handle: r.shape.Info.Handle, Reason: "it was deleted"}
	case err == nil && info.State == control.StateEnded:
		return &event.MustRefetchError{Handle: r.shape.Info.Handle, Reason: info.Reason}
	}
	return nil
}

// closed is the error for a connection that does not come back.
func (r *Reader) closed() error {
	return Permanent(r.what("read the log"), ClosedError(r.shape.Link.nc))
}
