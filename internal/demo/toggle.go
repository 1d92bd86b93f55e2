package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/term"
	"github.com/shapebus/shapebus/pkg/change"
)

// toggles are the projects that the traffic switches on and off, and how their tasks come to the subscriber of the
// tasks of active projects and go from it. Safe for concurrent use.
type toggles struct {
	mu      sync.Mutex // guards what follows
	pending []toggle
	now     toggleFigures
	took    []time.Duration // before the large transaction, which everything behind it waits for
	large   change.LSN      // where the large transaction commits, or somewhat before; 0 while it has not
	arrived *unit           // the unit with the large transaction
}

// toggle is a project that was switched.
type toggle struct {
	project string
	active  bool
	lsn     change.LSN // of its commit, or somewhat before
	sent    time.Time  // when COMMIT was about to be sent
}

// unit is a unit as it came to the subscriber.
type unit struct {
	passed     change.LSN // no transaction up to it is missing
	came, went int        // rows that the subscriber did not have, or does not have any more
	changes    uint64
	at         time.Time
}

// toggleFigures are what there is to show.
type toggleFigures struct {
	units      int
	came, went int           // rows, in all units
	latest     string        // the last project whose tasks came or went
	p50, most  time.Duration // from COMMIT, before the large transaction
}

// switchProject switches one project on or off. The large transaction writes to others: a million tasks that come and go
// with a project would be another show.
const switchProject = `UPDATE projects SET active = NOT active
	WHERE id = (SELECT id FROM projects WHERE id % 10 BETWEEN 1 AND 6 AND id >= $1 ORDER BY id LIMIT 1)
	RETURNING name, active, pg_current_wal_insert_lsn()::text`

// toggle is a deed of the ordinary traffic.
func (t *toggles) toggle(ctx context.Context, tx pgx.Tx, r *rand.Rand) error {
	one := toggle{}
	var lsn string
	if err := tx.QueryRow(ctx, switchProject, 1+r.IntN(26)).Scan(&one.project, &one.active, &lsn); err != nil {
		return err
	}
	var err error
	if one.lsn, err = change.ParseLSN(lsn); err != nil {
		return err
	}
	one.sent = time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pending = append(t.pending, one) // COMMIT follows; its rows can come before its answer does
	return nil
}

// largeAt says where the large transaction commits, or somewhat before.
func (t *toggles) largeAt(lsn change.LSN) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.large = lsn
}

// largeUnit is the unit in which the large transaction came, nil before.
func (t *toggles) largeUnit() *unit {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.arrived
}

// unit takes note of a unit.
func (t *toggles) unit(u unit) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now.units++
	t.now.came += u.came
	t.now.went += u.went
	if t.large != 0 && t.arrived == nil && u.passed >= t.large {
		t.arrived = &u
	}
	here := 0
	for here < len(t.pending) && t.pending[here].lsn <= u.passed {
		here++
	}
	if here == 0 {
		return
	}
	last := t.pending[here-1]
	if t.large == 0 {
		for _, one := range t.pending[:here] {
			t.took = append(t.took, u.at.Sub(one.sent))
			t.now.most = max(t.now.most, u.at.Sub(one.sent))
		}
	}
	t.pending = slices.Delete(t.pending, 0, here)
	t.now.latest = fmt.Sprintf("%s is %s: %s, %s after COMMIT", last.project, map[bool]string{true: "active", false: "closed"}[last.active],
		comeAndGo(u), millisText(u.at.Sub(last.sent)))
}

// comeAndGo says which rows of a unit came and which went.
func comeAndGo(u unit) string {
	switch {
	case u.went == 0:
		return term.Plural(u.came, "task") + " came"
	case u.came == 0:
		return term.Plural(u.went, "task") + " went"
	}
	return fmt.Sprintf("%s came, %s went", term.Plural(u.came, "task"), term.Count(u.went))
}

func millisText(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

func (t *toggles) figures() toggleFigures {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now
	if len(t.took) > 0 {
		sorted := slices.Sorted(slices.Values(t.took))
		now.p50 = sorted[len(sorted)/2]
	}
	return now
}
