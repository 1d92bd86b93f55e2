package gateway

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/shapebus/shapebus/services/gateway/protocol"
	"github.com/shapebus/shapebus/services/gateway/shapes"
)

// answer is a request of a shape on its way to an answer.
type answer struct {
	g     *Gateway
	w     http.ResponseWriter
	r     *http.Request
	req   *protocol.Request
	shape *shapes.Shape
	begin *shapes.Beginning // of the shape's log, which the client has or is to begin with
	from  shapes.Place      // the place that the client is at, behind what it has of its beginning
}

// read answers a request of a shape's log, or of a subset of its rows.
func (g *Gateway) read(w http.ResponseWriter, r *http.Request, who *principal, values protocol.Values, subset *protocol.SubsetInput) error {
	req, refused := protocol.Parse(values, subset)
	if refused != nil {
		return refused
	}
	if err := who.bind(&req.Definition); err != nil {
		return err
	}
	shape, leave, err := g.find(r.Context(), req)
	if err != nil {
		return err
	}
	defer leave()
	a := &answer{g: g, w: w, r: r, req: req, shape: shape}
	if req.Handle != "" && shapes.LifeOf(req.Handle) != shape.Handle() {
		return a.refetch(r.Context())
	}
	switch err := a.give(r.Context()); {
	case errors.Is(err, shapes.ErrOver):
		return g.successor(r.Context(), req, shape.Handle())
	case errors.Is(err, shapes.ErrGone):
		return a.refetch(r.Context())
	default:
		return err
	}
}

// beginnings is how often a client that is to begin is given another beginning, when the one that was found is gone.
const beginnings = 3

// give answers from one of the beginnings of the shape's log.
func (a *answer) give(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		err := a.find(ctx)
		switch {
		case err != nil:
		case a.req.Subset != nil:
			err = a.subset(ctx)
		default:
			err = a.log(ctx)
		}
		if !errors.Is(err, shapes.ErrGone) || a.req.Handle != "" || attempt == beginnings {
			return err
		}
	}
}

// find finds the beginning that the client has, or is to begin with.
func (a *answer) find(ctx context.Context) (err error) {
	if a.begin, err = a.shape.Beginning(ctx, a.req.Handle); err == nil {
		a.from, err = a.shape.From(a.begin, a.req.Offset)
	}
	return err
}

// refetch tells a client to begin again: what it goes on from is of another life of the shape, or went with what was folded.
func (a *answer) refetch(ctx context.Context) error {
	newest, err := a.shape.Newest(ctx)
	if err != nil || newest.Handle() == a.req.Handle {
		return protocol.MustRefetch("")
	}
	return protocol.MustRefetch(newest.Handle())
}

// find returns the shape of a request, within the limits of its kind.
func (g *Gateway) find(ctx context.Context, req *protocol.Request) (*shapes.Shape, func(), error) {
	shape := g.keeper.Known(&req.Definition)
	class := g.limits.existing
	if shape == nil || req.Handle == "" {
		class = g.limits.initial
	}
	if !class.enter() {
		if shape != nil {
			shape.Release()
		}
		return nil, nil, class.refusal()
	}
	if shape == nil {
		var err error
		if shape, err = g.keeper.Find(ctx, &req.Definition); err != nil {
			class.leave()
			return nil, nil, g.explain(err, req)
		}
		if req.Handle != "" { // it has begun before, and may wait for long
			class.leave()
			if class = g.limits.existing; !class.enter() {
				shape.Release()
				return nil, nil, class.refusal()
			}
		}
	}
	return shape, func() { shape.Release(); class.leave() }, nil
}

// successorWithin bounds how long a client waits to be told with which shape to go on.
const successorWithin = 5 * time.Second

// successor tells the reader of a shape that has ended to begin again.
func (g *Gateway) successor(ctx context.Context, req *protocol.Request, old string) error {
	ctx, cancel := context.WithTimeout(ctx, successorWithin)
	defer cancel()
	next, err := g.keeper.Find(ctx, &req.Definition)
	if err != nil {
		return protocol.MustRefetch("")
	}
	defer next.Release()
	if next.Handle() == old {
		return protocol.MustRefetch("") // what the client had is not in it
	}
	newest, err := next.Newest(ctx)
	if err != nil {
		return protocol.MustRefetch("")
	}
	return protocol.MustRefetch(newest.Handle())
}

// log answers a request of the log.
func (a *answer) log(ctx context.Context) error {
	o := a.req.Offset
	if o.Now {
		body, err := a.shape.Empty(ctx, a.from)
		if err != nil {
			return err
		}
		return a.send(body)
	}
	if n, ok := o.Chunk(); ok && (o.Beginning || !a.req.ChangesOnly) {
		if a.req.ChangesOnly {
			return a.send(a.begin.End())
		}
		body, there, err := a.shape.Snapshot(ctx, a.begin, n)
		if err != nil {
			return err
		}
		if there {
			return a.send(body)
		}
	}
	inBounds := a.shape.InBounds(ctx, a.from)
	body, err := a.shape.Read(ctx, a.from)
	switch {
	case err != nil:
		return err
	case a.req.SSE && inBounds:
		return a.stream(ctx, body)
	case body != nil:
		return a.send(body)
	case a.req.Live && inBounds:
		return a.wait(ctx, a.g.cfg.LongPoll)
	case !inBounds:
		if err := a.wait(ctx, a.g.cfg.LongPoll/2); !errors.Is(err, errTimeout) {
			return err
		}
		if a.shape.InBounds(ctx, a.from) { // by now, and nothing is behind it
			return a.now(ctx)
		}
		return protocol.Invalid("offset", "out of bounds for this shape")
	}
	if pause := a.shape.Answered(); pause > 0 {
		a.sleep(ctx, pause)
	}
	return a.now(ctx)
}

// now answers with what stands behind the place asked for, or that nothing does, without waiting.
func (a *answer) now(ctx context.Context) error {
	a.shape.Reach(ctx, a.from)
	for {
		body, err := a.shape.Read(ctx, a.from)
		if err == nil && body == nil {
			body, err = a.shape.Empty(ctx, a.from)
		}
		switch {
		case err != nil:
			return err
		case body != nil:
			return a.send(body)
		}
	}
}

// errTimeout says that nothing came while a request waited.
var errTimeout = errors.New("nothing came")

// wait waits for something behind the place asked for, and answers with it. A live request is answered too when nothing came.
func (a *answer) wait(ctx context.Context, within time.Duration) error {
	a.g.count.polls.Add(1)
	defer a.g.count.polls.Add(-1)
	timer := time.NewTimer(within)
	defer timer.Stop()
	for {
		body, changed, err := a.shape.Await(ctx, a.from)
		switch {
		case err != nil:
			return err
		case body != nil:
			return a.send(body)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-a.g.stop:
			return a.nothing(ctx, within)
		case <-timer.C:
			return a.nothing(ctx, within)
		}
	}
}

// nothing answers a request that waited in vain.
func (a *answer) nothing(ctx context.Context, within time.Duration) error {
	if within != a.g.cfg.LongPoll {
		return errTimeout
	}
	return a.now(ctx)
}

func (a *answer) sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-a.g.stop:
	}
}

// send answers with a body, and lets go of it.
func (a *answer) send(b *shapes.Body) error {
	defer a.shape.LetGo(b)
	h, fixed := a.w.Header(), &a.g.fixed
	a.headers(b.Next)
	empty := b.UpToDate && b.Entries == 0 && (a.req.Offset.Now || a.req.Live)
	if b.UpToDate {
		h["Electric-Up-To-Date"] = fixed.empty
	}
	h["Electric-Has-Data"] = fixed.yes
	if empty {
		h["Electric-Has-Data"] = fixed.no
	}
	tag := `"` + a.begin.Handle() + ":" + a.req.Offset.String() + ":" + b.Next.String()
	if empty {
		tag += ":" + strconv.FormatInt(time.Now().UnixNano(), 10)
	}
	tag += `"`
	h["Etag"] = []string{tag}
	h["Cache-Control"] = a.caching(b)
	h.Add("Vary", "Accept-Encoding")
	if has := a.r.Header["If-None-Match"]; has != nil && matches(strings.Join(has, ","), strings.Trim(tag, `"`)) {
		a.g.hurry(a.w)
		a.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	if !a.req.Live {
		h.Set("Electric-Schema", a.shape.Schema())
	}
	data := b.JSON()
	if length(data) >= compressLeast {
		switch encoding(a.r.Header.Get("Accept-Encoding")) {
		case "zstd":
			h.Set("Content-Encoding", "zstd")
			data = [][]byte{b.Zstd()}
		case "gzip":
			h.Set("Content-Encoding", "gzip")
			data = [][]byte{b.Gzip()}
		}
	}
	a.write(data)
	return nil
}

// counted is the size up to which the HTTP server counts a body's bytes itself.
const counted = 2 << 10

// write answers with JSON, once all other headers are set. A live answer has as many of them as a map holds without growing.
func (a *answer) write(parts [][]byte) {
	h, n := a.w.Header(), length(parts)
	h["Content-Type"] = a.g.fixed.json
	if n >= counted || a.r.Method == http.MethodHead {
		h.Set("Content-Length", strconv.Itoa(n))
	}
	if a.r.Method == http.MethodHead {
		a.g.hurry(a.w)
		a.w.WriteHeader(http.StatusOK)
		return
	}
	for _, part := range parts {
		if !a.g.write(a.w, part) {
			return
		}
	}
}

func length(parts [][]byte) int {
	n := 0
	for _, part := range parts {
		n += len(part)
	}
	return n
}

// headers sets what every good answer of a shape has.
func (a *answer) headers(next protocol.Offset) {
	h := a.w.Header()
	h["Electric-Handle"] = []string{a.begin.Handle()}
	h["Electric-Offset"] = []string{next.String()}
	if a.req.Live {
		h["Electric-Cursor"] = []string{protocol.Cursor(time.Now(), a.g.cfg.LongPoll, a.req.Cursor)}
	}
}

// writeAtOnce is how much a client must take within the time for it.
const writeAtOnce = 256 << 10

// hurry bounds how long what is written next may take to go. It is for every answer, right before it. Writers that have no such
// bound need none.
func (g *Gateway) hurry(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(g.cfg.WriteWithin))
}

// rest takes the bound away from an answer that goes on later: with HTTP/2 it ends the answer also while nothing is written.
func (a *answer) rest() {
	if a.r.ProtoMajor > 1 {
		_ = http.NewResponseController(a.w).SetWriteDeadline(time.Time{})
	}
}

// write sends a body. A client that does not take it is dropped.
func (g *Gateway) write(w http.ResponseWriter, data []byte) bool {
	for len(data) > 0 {
		n := min(len(data), writeAtOnce)
		g.hurry(w)
		if _, err := w.Write(data[:n]); err != nil {
			g.count.dropped.Add(1)
			return false
		}
		g.count.bytes.Add(int64(n))
		data = data[n:]
	}
	return true
}
