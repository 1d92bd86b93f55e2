package console

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// How often the source is looked at: while somebody watches, and while nobody does, so that what
// happened is known.
const (
	lookEvery      = time.Second
	lookIdle       = 15 * time.Second
	listEvery      = 2 * time.Second
	listIdle       = time.Minute
	listAtMost     = 5000 // shapes
	listPage       = 500
	listShare      = 10 // of the time, one part in so many is spent on listing
	historyLength  = 120
	busiestShown   = 6
	costsEvery     = 5 * time.Second
	costsLater     = time.Minute // when there was no answer: a user may lack the right to ask
	costsWithin    = 2 * time.Second
	costsShapes    = 50
	watchedForLong = 10 * time.Second // after the last answer, for pages that ask now and then
)

// pulse looks at the source again and again, and remembers the last minutes. Safe for concurrent use.
type pulse struct {
	client *client.Client
	log    *slog.Logger
	since  time.Time
	wake   chan struct{}

	mu       sync.Mutex
	watchers map[chan struct{}]bool
	asked    time.Time // when a page asked last
	now      *beat
	list     *inventory
	cpu      map[string]float64 // cores that judging changes takes, by handle, of the shapes that take most
	history  []Point
	happened []Happening
	seq      uint64
}

// beat is one look at the source.
type beat struct {
	at     time.Time
	status *control.Status // nil before the first answer; the last one there was
	fault  string          // why there is no newer one
	since  time.Time       // of the fault

	wal, messages, applied, logs float64 // bytes and messages a second
}

// Point is a beat as the curves show it.
type Point struct {
	At       int64   `json:"at"` // milliseconds
	WAL      float64 `json:"wal"`
	Messages float64 `json:"messages"`
	Logs     float64 `json:"logs"`
	Lag      float64 `json:"lag"`
}

func newPulse(c *client.Client, log *slog.Logger) *pulse {
	return &pulse{client: c, log: log, since: time.Now().UTC(), wake: make(chan struct{}, 1), watchers: map[chan struct{}]bool{}}
}

// watch returns a channel that is told of each beat, until stop is called.
func (p *pulse) watch() (told <-chan struct{}, stop func()) {
	ch := make(chan struct{}, 1)
	p.mu.Lock()
	p.watchers[ch] = true
	p.mu.Unlock()
	p.look()
	return ch, func() {
		p.mu.Lock()
		delete(p.watchers, ch)
		p.mu.Unlock()
	}
}

// look has the next beat come now.
func (p *pulse) look() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// watched reports whether somebody looks.
func (p *pulse) watched() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.watchers) > 0 || time.Since(p.asked) < watchedForLong
}

// shapes is the newest inventory, nil before there is one.
func (p *pulse) shapes() *inventory {
	p.mu.Lock()
	defer p.mu.Unlock()
	if idle := time.Since(p.asked) > watchedForLong; idle {
		defer p.look()
	}
	p.asked = time.Now()
	return p.list
}

// happenings are what is remembered, the newest first.
func (p *pulse) happenings() []Happening {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := slices.Clone(p.happened)
	slices.Reverse(out)
	return out
}

// run looks until ctx ends.
func (p *pulse) run(ctx context.Context) {
	var listed, costs time.Time
	var took time.Duration
	for ctx.Err() == nil {
		now := p.beat(ctx)
		every := listIdle
		if p.watched() {
			every = listEvery
			if now != nil && time.Now().After(costs) {
				costs = time.Now().Add(p.takeCosts(ctx))
			}
		}
		if since := time.Since(listed); now != nil && since >= max(every, listShare*took) || now != nil && p.outdated(now) && since >= listShare*took {
			began := time.Now()
			p.takeList(ctx)
			listed, took = time.Now(), time.Since(began)
		}
		p.tell()
		p.pause(ctx)
	}
}

// pause waits until the next beat.
func (p *pulse) pause(ctx context.Context) {
	every := lookIdle
	if p.watched() {
		every = lookEvery
	}
	timer := time.NewTimer(every)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.wake:
	case <-ctx.Done():
	}
}

func (p *pulse) tell() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for ch := range p.watchers {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// beat asks for the status once; nil if there was no answer.
func (p *pulse) beat(ctx context.Context) *control.Status {
	asking, cancel := context.WithTimeout(ctx, askWithin)
	status, err := p.client.Status(asking)
	cancel()
	if ctx.Err() != nil {
		return nil
	}
	now := time.Now().UTC()
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.now
	if before == nil {
		before = &beat{}
	}
	if err != nil {
		next := *before
		next.at, next.fault = now, err.Error()
		if before.fault == "" {
			next.since = now
			p.note(Happening{Kind: "answer", Tone: "bad", Title: "The control plane does not answer", Detail: err.Error()})
		}
		p.now = &next
		return nil
	}
	if before.fault != "" {
		p.note(Happening{Kind: "answer", Tone: "good", Title: "The control plane answers again"})
	}
	p.note(compare(before.status, &status)...)
	p.now = next(before, &status, now)
	p.history = append(p.history, Point{At: now.UnixMilli(), WAL: p.now.wal, Messages: p.now.messages, Logs: p.now.logs, Lag: float64(status.LagBytes)})
	if n := len(p.history); n > historyLength {
		p.history = slices.Delete(p.history, 0, n-historyLength)
	}
	return &status
}

// next is the beat of a status after the one before.
func next(before *beat, status *control.Status, now time.Time) *beat {
	out := &beat{at: now, status: status, logs: before.logs}
	if was := before.status; was != nil && before.fault == "" {
		in := now.Sub(before.at)
		out.wal = smooth(before.wal, distance(was.ChangeLSN, status.ChangeLSN), in)
		out.applied = smooth(before.applied, distance(was.AppliedLSN, status.AppliedLSN), in)
		out.messages = smooth(before.messages, distance(was.ChangeSeq, status.ChangeSeq), in)
	}
	return out
}

func distance[T ~uint64](from, to T) float64 {
	if to < from || from == 0 { // another history
		return 0
	}
	return float64(to - from)
}

// outdated reports whether the counts of shapes are not those of the list.
func (p *pulse) outdated(now *control.Status) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.list == nil {
		return true
	}
	if p.list.more {
		return false
	}
	listed := map[control.State]int{}
	for i := range p.list.shapes {
		listed[p.list.shapes[i].State]++
	}
	return !maps.Equal(listed, now.Shapes)
}

// takeCosts asks which shapes cost most, and returns when to ask again.
func (p *pulse) takeCosts(ctx context.Context) time.Duration {
	asking, cancel := context.WithTimeout(ctx, costsWithin)
	defer cancel()
	top, err := p.client.Top(asking, control.TopCPU, costsShapes)
	cpu := make(map[string]float64, len(top.Shapes))
	for i := range top.Shapes {
		cpu[top.Shapes[i].Handle] = top.Shapes[i].CPU
	}
	p.mu.Lock()
	p.cpu = cpu
	p.mu.Unlock()
	if err != nil {
		p.log.DebugContext(ctx, "the console cannot ask which shapes cost most", slog.Any("error", err))
		return costsLater
	}
	return costsEvery
}

// takeList lists the shapes.
func (p *pulse) takeList(ctx context.Context) {
	asking, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	var shapes []item
	req := control.ListRequest{Limit: listPage}
	more := true
	for more && len(shapes) < listAtMost {
		page, err := p.client.ListPage(asking, req)
		if err != nil {
			p.log.DebugContext(ctx, "the console cannot list shapes", slog.Any("error", err))
			return // the next look tries again; that there are no answers is told by the status
		}
		for i := range page.Shapes {
			shapes = append(shapes, itemOf(&page.Shapes[i]))
		}
		more = page.More && len(page.Shapes) > 0
		if more {
			req.After = page.Shapes[len(page.Shapes)-1].ID
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	list := newInventory(time.Now().UTC(), shapes, more, p.list, p.cpu)
	was := p.list
	p.list = list
	p.now.logs = 0
	for i := range list.shapes {
		p.now.logs += list.shapes[i].perSecond
	}
	events := compareShapes(was, list)
	if was == nil {
		for _, e := range events { // nobody knows when
			p.seq++
			e.Seq = p.seq
			p.happened = append(p.happened, e)
		}
		return
	}
	p.note(events...)
}

// note remembers what happened. The lock is held.
func (p *pulse) note(events ...Happening) {
	for _, e := range events {
		p.seq++
		e.Seq, e.At = p.seq, time.Now().UTC()
		p.happened = append(p.happened, e)
	}
	if n := len(p.happened); n > maxHappened {
		p.happened = slices.Delete(p.happened, 0, n-maxHappened)
	}
}
