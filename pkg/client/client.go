package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/shapebus/shapebus/pkg/client/internal/logread"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
)

// requestTimeout bounds a control plane request whose context has no deadline.
const requestTimeout = 30 * time.Second

// Client reads the shapes of one source. Safe for concurrent use. It holds
// nothing that needs closing; the connection stays the caller's.
type Client struct {
	nc     *nats.Conn
	source topology.Source
	logs   *logread.Link // the way to the shapes' logs
}

// Definition says which rows and columns of a table an app wants.
type Definition struct {
	Table   string   // as SQL writes it: tasks, public.tasks, "My Table"
	Columns []string // none means all
	Where   string   // SQL condition; empty means every row
	// Params are the values of $1, $2, … in Where. A value is a string in a form that Postgres
	// reads as the parameter's type, a number, a bool, a time (given in UTC), a slice of strings,
	// numbers or bools for an array, or nil for NULL.
	Params []any
}

// request is what the control plane is asked for.
func (d Definition) request() (control.CreateRequest, error) {
	req := control.CreateRequest{Table: d.Table, Columns: d.Columns, Where: d.Where}
	for i, p := range d.Params {
		text, err := paramOf(p)
		if err != nil {
			return req, fmt.Errorf("parameter $%d: %w", i+1, err)
		}
		if text != nil && !utf8.ValidString(*text) {
			return req, fmt.Errorf("parameter $%d: it is not valid UTF-8", i+1)
		}
		req.Params = append(req.Params, text)
	}
	// JSON would turn what is no text into the replacement character, and the shape be another one than was asked for.
	if !utf8.ValidString(d.Where) {
		return req, errors.New("the where clause is not valid UTF-8")
	}
	for _, name := range append([]string{d.Table}, d.Columns...) {
		if !utf8.ValidString(name) {
			return req, fmt.Errorf("the name %q is not valid UTF-8", name)
		}
	}
	return req, nil
}

// Option changes how a client works.
type Option func(*options)

type options struct{ prefix string }

// WithAPIPrefix has the client ask for JetStream on subjects with another beginning than $JS.API: that of a domain, behind a
// leaf node ($JS.hub.API), or that under which the app's account imports it. "" is the usual one.
func WithAPIPrefix(prefix string) Option { return func(o *options) { o.prefix = prefix } }

// New returns a client for the source of that name. It sends nothing.
func New(nc *nats.Conn, source string, opts ...Option) (*Client, error) {
	src, err := topology.ParseSource(source)
	if err != nil {
		return nil, err
	}
	if prefix := nc.Opts.InboxPrefix; prefix != "" && !topology.IsInbox(prefix) {
		return nil, fmt.Errorf("client of source %s: the connection's answers come on %s.>: Shapebus answers on subjects that begin with _ only; connect with a prefix such as nats.CustomInboxPrefix(\"_INBOX.%s\")", source, prefix, prefix)
	}
	var o options
	for _, set := range opts {
		set(&o)
	}
	js, err := topology.JetStream(nc, o.prefix)
	if err != nil {
		return nil, fmt.Errorf("client of source %s: %w", source, err)
	}
	return &Client{nc: nc, source: src, logs: logread.NewLink(nc, js, src)}, nil
}

// Create returns the shape of that definition, making it if there is none. It
// does not wait for the snapshot: the shape can be subscribed to at once. It
// does wait, for up to 30 s, for an earlier incarnation that is just being deleted.
// Refusals are RequestErrors. After a cancelled ctx the shape may exist.
func (c *Client) Create(ctx context.Context, def Definition) (*Shape, error) {
	req, err := def.request()
	if err != nil {
		return nil, fmt.Errorf("create a shape of %s: %w", def.Table, err)
	}
	waiting, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	pause := logread.NewBackoff(50*time.Millisecond, time.Second)
	var conflict error // the last refusal that time may mend
	for {
		var info control.Shape
		err := c.request(ctx, control.EndpointCreate, req, &info)
		if err == nil {
			return newShape(c, info)
		}
		var refused *RequestError
		switch {
		case errors.As(err, &refused) && refused.Code == control.CodeConflict:
			if conflict = err; pause.Wait(waiting, nil) == nil {
				continue
			}
		case ctx.Err() != nil && conflict != nil:
			err = fmt.Errorf("%w; asked again: %w", conflict, err) // what it waited for says more
		}
		return nil, fmt.Errorf("create a shape of %s: %w", def.Table, err)
	}
}

// Open returns the shape with that handle or id. Its error is ErrNotFound
// when that incarnation of the shape is over and forgotten.
func (c *Client) Open(ctx context.Context, handle string) (*Shape, error) {
	info, err := c.Get(ctx, handle)
	if err != nil {
		return nil, err
	}
	return newShape(c, info)
}

// Get returns what the control plane knows of a shape, by handle or id.
func (c *Client) Get(ctx context.Context, handle string) (control.Shape, error) {
	var info control.Shape
	if err := c.request(ctx, control.EndpointGet, control.ShapeRequest{Shape: handle}, &info); err != nil {
		return control.Shape{}, fmt.Errorf("get shape %s: %w", handle, err)
	}
	return info, nil
}

// List returns all shapes of the source in the order of their ids.
func (c *Client) List(ctx context.Context) ([]control.Shape, error) {
	var all []control.Shape
	req := control.ListRequest{}
	for {
		page, err := c.ListPage(ctx, req)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Shapes...)
		if !page.More || len(page.Shapes) == 0 {
			return all, nil
		}
		req.After = page.Shapes[len(page.Shapes)-1].ID
	}
}

// Delete ends a shape, by handle or id. Its readers get a MustRefetchError.
func (c *Client) Delete(ctx context.Context, handle string) error {
	var info control.Shape
	// Not again: under an id it would delete what others have made meanwhile.
	if err := c.requestAgain(ctx, control.EndpointDelete, control.ShapeRequest{Shape: handle}, &info, nil); err != nil {
		return fmt.Errorf("delete shape %s: %w", handle, err)
	}
	return nil
}

// Fold asks that a shape's log be folded, by handle or id, and returns what is known of the shape; it is done in a while.
// Readers go on; new ones have less to read.
func (c *Client) Fold(ctx context.Context, handle string) (control.Shape, error) {
	var info control.Shape
	if err := c.request(ctx, control.EndpointFold, control.ShapeRequest{Shape: handle}, &info); err != nil {
		return control.Shape{}, fmt.Errorf("fold shape %s: %w", handle, err)
	}
	return info, nil
}

// Top returns which shapes cost most at present, at most limit of them; 0 is the control plane's default. by is one of
// control's Top constants, "" for the default.
func (c *Client) Top(ctx context.Context, by string, limit int) (control.TopResponse, error) {
	var top control.TopResponse
	if err := c.request(ctx, control.EndpointTop, control.TopRequest{By: by, Limit: limit}, &top); err != nil {
		return control.TopResponse{}, fmt.Errorf("dearest shapes of source %s: %w", c.source, err)
	}
	return top, nil
}

// Status returns what the control plane knows of the source.
func (c *Client) Status(ctx context.Context) (control.Status, error) {
	var status control.Status
	if err := c.request(ctx, control.EndpointStatus, struct{}{}, &status); err != nil {
		return control.Status{}, fmt.Errorf("status of source %s: %w", c.source, err)
	}
	return status, nil
}

// request asks the control plane for what is the same when it is asked for twice.
func (c *Client) request(ctx context.Context, endpoint string, req, resp any) error {
	return c.requestAgain(ctx, endpoint, req, resp, askAgain)
}

func (c *Client) requestAgain(ctx context.Context, endpoint string, req, resp any, again []time.Duration) error {
	data, err := json.Marshal(req)
	if err != nil {
		return fmt.Errorf("encode the request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	subject := c.source.ControlPlane() + "." + endpoint
	var m *nats.Msg
	err = logread.WithRefusal(ctx, c.nc, subject, func(ctx context.Context) error {
		m, err = ask(ctx, c.nc, subject, data, again)
		return err
	})
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%w: no consumer of source %q is running; start it with \"shapebus consumer\" or \"shapebus dev\", or check the source's name and this user's NATS account",
			err, c.source)
	case err != nil && c.nc.IsClosed():
		return logread.Permanent("ask the control plane on "+subject, logread.ClosedError(c.nc))
	case logread.Sort(err) == logread.FatePermanent:
		return logread.Permanent("ask the control plane on "+subject, err)
	case err != nil:
		return fmt.Errorf("no answer from the control plane on %s: %w; if that lasts, look into the consumer's log", subject, err)
	}
	if code := m.Header.Get(micro.ErrorCodeHeader); code != "" {
		return &RequestError{Endpoint: endpoint, Code: code, Text: m.Header.Get(micro.ErrorHeader)}
	}
	if err := json.Unmarshal(m.Data, resp); err != nil {
		return fmt.Errorf("the control plane's answer to %s: %w", endpoint, err)
	}
	return nil
}

// IsLive reports whether a subject is one on which this package hears of what is stored in a log. A
// nats.ErrSlowConsumer about a subscription on it is harmless: what was dropped is read from the log.
func IsLive(subject string) bool {
	parts := strings.Split(subject, ".")
	return len(parts) == 5 && parts[0] == "sb" && parts[2] == "live"
}
