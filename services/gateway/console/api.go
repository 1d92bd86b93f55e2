package console

import (
	"context"
	"net/http"
	"net/url"

	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/shape"
)

// ask runs a request to the control plane and answers with what comes of it.
func (c *Console) ask(ctx context.Context, w http.ResponseWriter, f func(context.Context) (any, error)) {
	ctx, leave, ok := c.enter(ctx)
	if !ok {
		fail(w, http.StatusServiceUnavailable, "Too many requests are under way. Try again in a moment.")
		return
	}
	out, err := f(ctx)
	leave()
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, out)
}

// named is the handle or id in the path; what is none is refused.
func named(w http.ResponseWriter, r *http.Request) (string, bool) {
	name, err := url.PathUnescape(r.PathValue("shape"))
	if err != nil || !shape.IsID(name) && !shape.IsHandle(name) {
		fail(w, http.StatusNotFound, "That is no handle or id of a shape.")
		return "", false
	}
	return name, true
}

// shown is a shape as its page shows it.
type shown struct {
	Shape control.Shape `json:"shape"`
	Table string        `json:"table"` // its name as SQL writes it
	Cost  Cost          `json:"cost"`
}

// shown adds to a shape what its page shows besides.
func (c *Console) shown(s control.Shape) shown {
	return shown{s, tableOf(&s), c.pulse.shapes().cost(&s)}
}

func (c *Console) get(w http.ResponseWriter, r *http.Request) {
	name, ok := named(w, r)
	if !ok {
		return
	}
	c.ask(r.Context(), w, func(ctx context.Context) (any, error) {
		s, err := c.client.Get(ctx, name)
		if err != nil {
			return nil, err
		}
		return c.shown(s), nil
	})
}

func (c *Console) fold(w http.ResponseWriter, r *http.Request) {
	name, ok := named(w, r)
	if !ok {
		return
	}
	c.ask(r.Context(), w, func(ctx context.Context) (any, error) {
		s, err := c.client.Fold(ctx, name)
		return c.shown(s), err
	})
}

func (c *Console) remove(w http.ResponseWriter, r *http.Request) {
	name, ok := named(w, r)
	if !ok {
		return
	}
	c.ask(r.Context(), w, func(ctx context.Context) (any, error) {
		defer c.pulse.look()
		return map[string]string{"deleted": name}, c.client.Delete(ctx, name)
	})
}

// definition is a shape as the page describes it.
type definition struct {
	Table   string    `json:"table"`
	Columns []string  `json:"columns"`
	Where   string    `json:"where"`
	Params  []*string `json:"params"`
}

func (d definition) of() client.Definition {
	out := client.Definition{Table: d.Table, Columns: d.Columns, Where: d.Where}
	for _, p := range d.Params {
		out.Params = append(out.Params, p)
	}
	return out
}

func (c *Console) check(w http.ResponseWriter, r *http.Request) {
	var d definition
	if !read(w, r, &d) {
		return
	}
	c.ask(r.Context(), w, func(ctx context.Context) (any, error) { return c.client.Check(ctx, d.of()) })
}

func (c *Console) create(w http.ResponseWriter, r *http.Request) {
	var d definition
	if !read(w, r, &d) {
		return
	}
	c.ask(r.Context(), w, func(ctx context.Context) (any, error) {
		defer c.pulse.look()
		s, err := c.client.Create(ctx, d.of())
		if err != nil {
			return nil, err
		}
		return s.Info(), nil
	})
}

func (c *Console) explain(w http.ResponseWriter, r *http.Request) {
	var req control.ExplainRequest
	if !read(w, r, &req) {
		return
	}
	c.ask(r.Context(), w, func(ctx context.Context) (any, error) { return c.client.Explain(ctx, req) })
}

func (c *Console) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	answer(w, c.pulse.shapes().find(question{
		text: q.Get("q"), state: control.State(q.Get("state")), sort: q.Get("sort"), inner: q.Get("inner") == "true",
	}))
}

func (c *Console) events(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{"since": c.pulse.since, "events": c.pulse.happenings()})
}
