package create

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/shape"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/live"
)

// Shapes that can share a snapshot, or a reader of the change log, go into one batch.
func TestWhichShapesAreCreatedTogether(t *testing.T) {
	waits := func(id, table string) *Parked {
		return &Parked{ID: id, waiting: true, rec: &registry.Shape{Definition: shape.Definition{Schema: "public", Table: table}}}
	}
	begun := func(id string, seq uint64) *Parked {
		p := waits(id, "t")
		p.tail, p.rec.StartSeq = wire.Tail{Began: true}, seq
		return p
	}
	alone := func(p *Parked) *Parked { p.alone = true; return p }
	for _, tt := range []struct {
		name        string
		waiting     []*Parked
		batch, left string
	}{
		{"nobody waits", nil, "", ""},
		{"those of one table", []*Parked{waits("a", "t"), waits("b", "u"), waits("c", "t")}, "a c", "b"},
		{"one that failed has a snapshot of its own", []*Parked{alone(waits("a", "t")), waits("b", "t")}, "a", "b"},
		{"and spoils no other's", []*Parked{waits("a", "t"), alone(waits("b", "t"))}, "a", "b"},
		{"those that begin to read nearby", []*Parked{begun("a", 5000), begun("b", 5000+nearby), begun("c", 5001+nearby), begun("d", 4100)}, "a b d", "c"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := &line{waiting: slices.Clone(tt.waiting)}
			batch := l.nextBatch()
			if got := ids(batch); got != tt.batch {
				t.Errorf("together: %q, want %q", got, tt.batch)
			}
			if got := ids(l.waiting); got != tt.left {
				t.Errorf("left: %q, want %q", got, tt.left)
			}
			if slices.ContainsFunc(batch, func(p *Parked) bool { return p.waiting }) {
				t.Error("one of the batch still waits")
			}
		})
	}
	var many []*Parked
	for range maxBatch + 1 {
		many = append(many, waits("x", "t"))
	}
	l := &line{waiting: many}
	if n := len(l.nextBatch()); n != maxBatch || len(l.waiting) != 1 {
		t.Errorf("%d together, %d are left", n, len(l.waiting))
	}
}

// Shapes that go on after a restart may have much to read, while others are to begin.
func TestNobodyWaitsForThoseThatCatchUp(t *testing.T) {
	begun := &Parked{ID: "begun", tail: wire.Tail{Began: true}, since: time.Now().Add(-time.Hour), rec: &registry.Shape{}}
	first := &Parked{ID: "first", since: time.Now(), rec: &registry.Shape{}}
	const most = 2
	s := NewCreator(nil)
	for _, p := range []*Parked{begun, first} {
		l := s.lineOf(p)
		l.waiting = append(l.waiting, p)
	}
	s.goesOn.workers = most
	if got, _ := s.begins.nextWorker(most); ids(got) != "first" {
		t.Errorf("%q begins while others catch up", ids(got))
	}
	if got, later := s.goesOn.nextWorker(most); len(got) > 0 || later {
		t.Errorf("%q goes on, although as many do as may", ids(got))
	}
	s.goesOn.workers, s.begins.workers = 1, most
	if got, _ := s.goesOn.nextWorker(most); ids(got) != "begun" {
		t.Errorf("%q goes on while others begin", ids(got))
	}
}

// The main loop has other things to do than to say of each message that it is elsewhere.
func TestWhoIsFarFromTheMainLoopDoesNotAskIt(t *testing.T) {
	recent := changelog.NewRecent(1)
	recent.Add(stream.Received{First: 1000, Seq: 1000})
	q := &CatchUp{s: NewCreator(&live.Loop{Recent: recent})} // there is nobody to answer
	if joined, err := q.join(t.Context(), changelog.Place{LSN: 1, Seq: 5}); joined || err != nil {
		t.Errorf("joined %t, %v", joined, err)
	}
}

// A shape that is deleted while the main loop is far behind does not wait for it.
func TestWhoIsStoppedDoesNotWaitForTheMainLoop(t *testing.T) {
	parked := func() *Parked {
		p := &Parked{}
		p.ctx, p.cancel = context.WithCancelCause(t.Context())
		return p
	}
	a, b := parked(), parked()
	q := &CatchUp{Members: []*Parked{a, b}}
	soon, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	a.cancel(&stopped{})
	if err := q.await(soon, nil); err != nil {
		t.Errorf("one of two was stopped: %v", err)
	}
	q.Members = []*Parked{b}
	over, end := context.WithCancelCause(t.Context())
	end(errAgain)
	if err := q.await(over, nil); !errors.Is(err, errAgain) {
		t.Errorf("the session is over: %v", err)
	}
}

func ids(shapes []*Parked) string {
	var all []string
	for _, p := range shapes {
		all = append(all, p.ID)
	}
	return strings.Join(all, " ")
}
