package demo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Time between two transactions.
const (
	busy    = 10 * time.Millisecond
	trickle = 700 * time.Millisecond
)

// traffic is what an office does to its database: many small transactions of every kind. Safe for concurrent use.
type traffic struct {
	toggles *toggles

	mu     sync.Mutex // guards what follows
	now    trafficFigures
	cancel func()        // asks start's goroutine to end after its transaction
	done   chan struct{} // closed when it has
}

// trafficFigures count transactions.
type trafficFigures struct{ committed, rolledBack, savepoints, keyChanges, truncates, toggles int }

func newTraffic(toggles *toggles) *traffic { return &traffic{toggles: toggles} }

func (t *traffic) figures() trafficFigures {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now
}

// errChangedMind rolls a transaction back.
var errChangedMind = errors.New("rolled back on purpose")

// deed is a kind of transaction.
type deed struct {
	share int // of all transactions, against the others'
	do    func(ctx context.Context, tx pgx.Tx, r *rand.Rand) error
	count func(*trafficFigures) *int // nil: nothing special
}

// someTask is an existing task near a random one.
const someTask = "(SELECT id FROM tasks WHERE id >= $1 ORDER BY id LIMIT 1)"

const (
	addTask = `INSERT INTO tasks (project_id, assignee_id, title, status, priority, due_on)
		VALUES (CASE WHEN random() < 0.3 THEN 7 ELSE 1 + floor(random() * 30)::int END, 1 + floor(random() * 18)::int, task_title(), 'open',
			1 + floor(random() * 5)::int, current_date + (random() * 30)::int)`
	addComment = "INSERT INTO comments (task_id, author_id, body) SELECT id, 1 + floor(random() * 18)::int, comment_body() FROM tasks WHERE id = " + someTask
)

// statement is a deed of one statement on a random task.
func statement(sql string) func(context.Context, pgx.Tx, *rand.Rand) error {
	return func(ctx context.Context, tx pgx.Tx, r *rand.Rand) error {
		_, err := tx.Exec(ctx, sql, taskNear(r))
		return err
	}
}

func taskNear(r *rand.Rand) int { return 1 + r.IntN(2500) }

func deeds(toggles *toggles) []deed {
	return []deed{
		{share: 20, do: func(ctx context.Context, tx pgx.Tx, r *rand.Rand) error {
			if _, err := tx.Exec(ctx, addTask); err != nil {
				return err
			}
			return statement(addComment)(ctx, tx, r)
		}},
		{share: 25, do: statement(addComment)},
		{share: 25, do: statement("UPDATE tasks SET status = task_status() WHERE id = " + someTask)},
		{share: 12, do: statement("UPDATE tasks SET priority = 1 + floor(random() * 5)::int, title = task_title() WHERE id = " + someTask)},
		{share: 8, do: statement("UPDATE tasks SET project_id = CASE project_id WHEN 7 THEN 12 ELSE 7 END WHERE id = " + someTask)},
		{share: 3, do: statement("UPDATE tasks SET due_on = due_on + 1 WHERE id BETWEEN $1::bigint AND $1::bigint + 20")},
		{share: 4, do: statement("DELETE FROM tasks WHERE id = " + someTask)},
		{
			share: 4, do: statement("UPDATE tasks SET id = nextval(pg_get_serial_sequence('tasks', 'id')) WHERE id = " + someTask),
			count: func(f *trafficFigures) *int { return &f.keyChanges },
		},
		{share: 3, do: func(ctx context.Context, tx pgx.Tx, r *rand.Rand) error {
			if err := statement("UPDATE tasks SET priority = 5, status = 'open' WHERE id >= $1 AND id < $1 + 5")(ctx, tx, r); err != nil {
				return err
			}
			return errChangedMind
		}},
		{share: 3, do: toggles.toggle, count: func(f *trafficFigures) *int { return &f.toggles }},
		{share: 3, do: withSavepoint, count: func(f *trafficFigures) *int { return &f.savepoints }},
		{
			share: 1, do: func(ctx context.Context, tx pgx.Tx, r *rand.Rand) error {
				if _, err := tx.Exec(ctx, "TRUNCATE drafts"); err != nil {
					return err
				}
				if _, err := tx.Exec(ctx, "INSERT INTO drafts VALUES (3, comment_body())"); err != nil {
					return err
				}
				return statement(addComment)(ctx, tx, r)
			},
			count: func(f *trafficFigures) *int { return &f.truncates },
		},
	}
}

// withSavepoint does two things and takes one of them back.
func withSavepoint(ctx context.Context, tx pgx.Tx, r *rand.Rand) error {
	if _, err := tx.Exec(ctx, addTask); err != nil {
		return err
	}
	inner, err := tx.Begin(ctx)
	if err != nil {
		return err
	}
	if err := statement("DELETE FROM tasks WHERE id = "+someTask)(ctx, inner, r); err != nil {
		return err
	}
	if err := inner.Rollback(ctx); err != nil {
		return err
	}
	return statement(addComment)(ctx, tx, r)
}

// start runs traffic until stop.
func (t *traffic) start(ctx context.Context, d *demo) {
	quit, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	t.mu.Lock()
	t.cancel, t.done = cancel, done
	t.mu.Unlock()
	d.group.Go(func() error {
		defer close(done)
		defer cancel()
		return t.write(ctx, quit, d.parts.database, busy)
	})
}

// stop returns when the last transaction has ended.
func (t *traffic) stop() {
	t.mu.Lock()
	cancel, done := t.cancel, t.done
	t.mu.Unlock()
	cancel()
	<-done
}

// run runs traffic until ctx ends.
func (t *traffic) run(ctx context.Context, url string, every time.Duration) error {
	return t.write(ctx, ctx, url, every)
}

// write begins transactions until quit ends; the one in hand is finished unless ctx ends.
func (t *traffic) write(ctx, quit context.Context, url string, every time.Duration) (err error) {
	conn, err := connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	all, shares := deeds(t.toggles), 0
	for _, d := range all {
		shares += d.share
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-quit.Done():
			return nil
		case <-tick.C:
		}
		one, n := all[0], r.IntN(shares)
		for _, d := range all {
			if one = d; n < d.share {
				break
			}
			n -= d.share
		}
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return one.do(ctx, tx, r) })
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !errors.Is(err, errChangedMind):
			return fmt.Errorf("ordinary traffic: %w", err)
		}
		t.count(one, err != nil)
	}
}

func (t *traffic) count(d deed, rolledBack bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if rolledBack {
		t.now.rolledBack++
		return
	}
	t.now.committed++
	if d.count != nil {
		*d.count(&t.now)++
	}
}
