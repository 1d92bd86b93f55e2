package plane

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/shape"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/services/consumer/plane/answer"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

const (
	// topMost is how many shapes one answer names, and topDefault how many if nobody says.
	topMost, topDefault = 50, 20
	// topPatience is how long the other consumers have to say what their shapes cost.
	topPatience = time.Second
	// whereMost bounds what is said of a clause.
	whereMost = 200
)

// Costs are what the shapes of one consumer have cost of late. Consumers tell each other; unknown fields are passed over.
type Costs struct {
	Name        string  `json:"name"`
	Seconds     float64 `json:"seconds"`     // that this covers
	Nanoseconds float64 `json:"nanoseconds"` // that judging changes for all shapes took
	Bytes       float64 `json:"bytes"`       // written for all shapes
	Shapes      []Cost  `json:"shapes"`
}

// Cost is what a shape has cost.
type Cost struct {
	Handle      string  `json:"handle"`
	Nanoseconds float64 `json:"nanoseconds"`
	Bytes       float64 `json:"bytes"`
}

// tellCosts answers other consumers until stop is called.
func (p *server) tellCosts() (stop func(), err error) {
	sub, err := p.cfg.NATS.Subscribe(p.cfg.Source.CostsSubject(), func(m *nats.Msg) {
		if data, err := json.Marshal(p.cfg.Costs(topMost)); err == nil && topology.IsInbox(m.Reply) {
			_ = m.Respond(data) // who asked waits for the others only so long
		}
	})
	if err != nil {
		return nil, fmt.Errorf("listen to other consumers: %w", topology.Explain(err))
	}
	return func() { _ = sub.Unsubscribe() }, nil // it ends with the connection at the latest
}

// gathered are the costs of all consumers.
type gathered struct {
	all    []Costs
	silent []string
}

// gather asks all consumers that hold partitions.
func (p *server) gather(ctx context.Context) (gathered, error) {
	writers, _, err := p.owners(ctx)
	if err != nil {
		return gathered{}, err
	}
	waiting := map[string]bool{}
	for _, m := range writers {
		waiting[m.Name] = true
	}
	inbox := p.cfg.NATS.NewInbox() // and not one that the connection hears already: all would come twice
	sub, err := p.cfg.NATS.SubscribeSync(inbox)
	if err != nil {
		return gathered{}, fmt.Errorf("ask the other consumers: %w", err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // it ends with the connection at the latest
	if err := p.cfg.NATS.PublishRequest(p.cfg.Source.CostsSubject(), inbox, nil); err != nil {
		return gathered{}, fmt.Errorf("ask the other consumers: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, topPatience)
	defer cancel()
	var out gathered
	for len(waiting) > 0 {
		m, err := sub.NextMsgWithContext(ctx)
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrNoResponders) {
			break
		}
		if err != nil {
			return gathered{}, fmt.Errorf("ask the other consumers: %w", err)
		}
		var c Costs
		if json.Unmarshal(m.Data, &c) != nil || len(c.Shapes) > 2*topMost {
			continue // it is none of ours
		}
		delete(waiting, c.Name)
		out.all = append(out.all, c)
	}
	for name := range waiting {
		out.silent = append(out.silent, name)
	}
	slices.Sort(out.silent)
	return out, nil
}

// top answers which shapes cost most.
func (p *server) top(ctx context.Context, req control.TopRequest) (any, error) {
	g, err := p.costs.ask(ctx, "", p.gather)
	if err != nil {
		return nil, err
	}
	out := dearest(g.all, req.By, cmp.Or(req.Limit, topDefault))
	out.Silent = g.silent
	ids := make([]string, len(out.Shapes))
	for i, s := range out.Shapes {
		ids[i] = shapelog.IDOf(s.Handle)
	}
	records, err := p.cfg.Shapes.GetAll(ctx, ids)
	if err != nil {
		return nil, err
	}
	known, err := p.describeAll(ctx, records)
	if err != nil {
		return nil, err
	}
	for i := range out.Shapes {
		s := &out.Shapes[i]
		for _, k := range known {
			if k.Handle == s.Handle {
				s.State, s.Schema, s.Table, s.Where, s.LogBytes, s.Rows = k.State, k.Schema, k.Table, answer.Brief(k.Where, whereMost), k.SinceBytes, k.Rows
			}
		}
	}
	return out, nil
}

// dearest finds the shapes that cost most. One that has moved is told of by both consumers.
func dearest(all []Costs, by string, limit int) control.TopResponse {
	out := control.TopResponse{Shapes: []control.TopShape{}}
	sums := map[string]*control.TopShape{}
	for _, c := range all {
		if c.Seconds <= 0 {
			continue
		}
		if out.Seconds == 0 || c.Seconds < out.Seconds {
			out.Seconds = c.Seconds
		}
		out.CPU += c.Nanoseconds / c.Seconds / float64(time.Second)
		out.BytesPerSecond += c.Bytes / c.Seconds
		for _, s := range c.Shapes {
			if !shape.IsHandle(s.Handle) {
				continue
			}
			if sums[s.Handle] == nil {
				sums[s.Handle] = &control.TopShape{Handle: s.Handle}
			}
			sums[s.Handle].CPU += s.Nanoseconds / c.Seconds / float64(time.Second)
			sums[s.Handle].BytesPerSecond += s.Bytes / c.Seconds
		}
	}
	for _, s := range sums {
		out.Shapes = append(out.Shapes, *s)
	}
	amount := func(s control.TopShape) float64 {
		if by == control.TopBytes {
			return s.BytesPerSecond
		}
		return s.CPU
	}
	slices.SortFunc(out.Shapes, func(a, b control.TopShape) int {
		return cmp.Or(cmp.Compare(amount(b), amount(a)), strings.Compare(a.Handle, b.Handle))
	})
	out.Shapes = out.Shapes[:min(limit, len(out.Shapes))]
	return out
}
