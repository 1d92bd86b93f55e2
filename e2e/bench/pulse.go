package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/pkg/client"
)

// pulse is a row that changes all the time, and when a reader of its shape got the changes. It goes on while Postgres is
// away.
type pulse struct {
	shape *client.Shape
	table string
	url   string

	mu sync.Mutex
	at []time.Time
}

// write changes the row until ctx ends.
func (p *pulse) write(ctx context.Context) error {
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close(context.WithoutCancel(ctx)) // everything on it is done
		}
	}()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var err error
		if conn == nil || conn.IsClosed() {
			if conn, err = pgx.Connect(ctx, p.url); err != nil {
				conn = nil // it is away for a moment
				continue
			}
		}
		if _, err = conn.Exec(ctx, fmt.Sprintf("UPDATE %s SET kind = %d WHERE id = 1", p.table, n%1000)); err != nil {
			_ = conn.Close(context.WithoutCancel(ctx))
		}
	}
}

// read notes what comes until ctx ends.
func (p *pulse) read(ctx context.Context) error {
	for event, err := range p.shape.Subscribe(client.Beginning(), client.Options{}).Events(ctx) {
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the reader: %w", err)
		}
		if _, ok := event.(client.Commit); ok {
			p.mu.Lock()
			p.at = append(p.at, time.Now())
			p.mu.Unlock()
		}
	}
	return nil
}

const (
	// steady is how long a reader must have got changes without a pause before a silence counts as over.
	steady = 2 * time.Second
	// hiccup is the pause that a busy machine makes without any fault.
	hiccup = 500 * time.Millisecond
)

// silence is the longest time without a change between a moment and now, when it ended, and whether it is over: changes
// have come for a while.
func silence(at []time.Time, since, now time.Time) (longest time.Duration, ended time.Time, over bool) {
	before, calm := since, since // calm is since when there has been no pause
	for _, t := range append(slices.Clip(at), now) {
		if t.Before(since) {
			continue
		}
		gap := t.Sub(before)
		if gap > longest {
			longest, ended = gap, t
		}
		if gap > hiccup {
			calm = t
		}
		before = t
	}
	return longest, ended, now.Sub(calm) >= steady
}

// silence waits until the reader gets changes again after a moment.
func (p *pulse) silence(ctx context.Context, since time.Time) (longest time.Duration, ended time.Time, err error) {
	waiting, cancel := context.WithTimeout(ctx, silenceMost)
	defer cancel()
	err = poll(waiting, pollEvery, "the reader gets changes again", func() (over bool, _ error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		now := time.Now()
		longest, ended, over = silence(p.at, since, now)
		return over && now.Sub(since) >= missedAfter, nil
	})
	p.mu.Lock()
	p.at = nil
	p.mu.Unlock()
	return longest, ended, err
}

// silenceMost bounds a silence.
const silenceMost = 3 * time.Minute
