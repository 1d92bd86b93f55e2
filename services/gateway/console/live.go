package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

const (
	// maxRead is how much of a log is read for the rows of a shape.
	maxRead = 16 << 20
	// gather is how long what comes is gathered before a page is told: eyes do not need more.
	gather = 120 * time.Millisecond
)

// live follows a shape for a page. Of a small shape it tells all rows; of others, what changes from
// now on.
func (c *Console) live(w http.ResponseWriter, r *http.Request) {
	name, ok := named(w, r)
	if !ok {
		return
	}
	asking, leave, ok := c.enter(r.Context())
	if !ok {
		fail(w, http.StatusServiceUnavailable, "Too many requests are under way. Try again in a moment.")
		return
	}
	shape, err := c.client.Open(asking, name)
	leave()
	if err != nil {
		refuse(w, err)
		return
	}
	s, ok := c.open(w, r)
	if !ok {
		return
	}
	defer s.close()
	if !s.send("shape", c.shown(shape.Info())) {
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	f := newFeed(&c.room)
	defer f.close()
	var reading sync.WaitGroup
	reading.Go(func() { follow(ctx, shape, f) })
	defer reading.Wait()
	defer cancel()
	pause := time.NewTicker(gather)
	defer pause.Stop()
	for s.wait(f.news) {
		for more := true; more; {
			out, some := f.take()
			if some && !s.send("feed", out) {
				return
			}
			more = out.Rows != nil && out.Rows.More
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
	}
}

// follow reads a shape into a feed until ctx ends or there is nothing more to come.
func follow(ctx context.Context, shape *client.Shape, f *feed) {
	info := shape.Info()
	why := tooLarge(info)
	if why == "" {
		f.begin(true)
		f.is("reading", "Reading the rows …")
		err := readInto(ctx, shape, client.Beginning(), f, Phase{Is: "live"})
		switch {
		case errors.Is(err, errManyRows):
			why = manyRows
		case errors.Is(err, errNoRoom):
			why = noRoom
		default:
			f.end(ctx, err)
			return
		}
		fresh, err := shape.Refresh(ctx)
		if err != nil {
			f.end(ctx, err)
			return
		}
		info = fresh
	}
	f.begin(false)
	f.is("changes", why)
	f.end(ctx, readInto(ctx, shape, client.Position{Handle: info.Handle, Offset: info.Offset}, f, Phase{Is: "changes", Text: why}))
}

var manyRows = fmt.Sprintf("The shape has more than %d rows, or large ones. Those that change from now on are shown.", maxRows)

const noRoom = "Other pages of the console show so many rows that there is no room for these. Those that change from now on are shown."

// tooLarge says why not all rows of a shape are shown; "" if they can be.
func tooLarge(s control.Shape) string {
	switch {
	case !s.HasKey:
		return "The table has no primary key that would tell rows apart. What changes from now on is shown."
	case s.Rows > maxRows || s.State == control.StateCreating && s.SnapshotRows > maxRows:
		return manyRows
	case s.SinceBytes > maxRead:
		return "The shape’s log is long, and takes a while to read. Rows that change from now on are shown."
	}
	return ""
}

// readInto reads events behind a position until ctx ends, or the rows become too many. good is how
// it goes when all has been read.
func readInto(ctx context.Context, shape *client.Shape, from client.Position, f *feed, good Phase) error {
	stalled := false
	for e, err := range shape.Subscribe(from, client.Options{Buffer: 1 << 20}).Events(ctx) {
		if err != nil {
			return err
		}
		_, caughtUp := e.(client.CaughtUp)
		if e, ok := e.(client.Stalled); ok {
			stalled = true
			f.is("stalled", "Reading fails, and is tried again: "+e.Err.Error())
			continue
		}
		if caughtUp || stalled {
			stalled = false
			f.is(good.Is, good.Text)
		}
		if err := f.note(e); err != nil {
			return err
		}
	}
	return nil
}

// end tells the page that nothing more comes, and why.
func (f *feed) end(ctx context.Context, err error) {
	if ctx.Err() != nil || err == nil {
		return
	}
	if over, ok := errors.AsType[*client.MustRefetchError](err); ok {
		f.is("ended", over.Reason)
		return
	}
	f.is("ended", err.Error())
}
