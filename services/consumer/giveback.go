package consumer

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/registry"
)

var zeroTime time.Time

// giveBackPause is the first pause after a table could not be given back; each further one is twice
// as long, up to giveBackLongest. An attempt holds up the application's statements for as long as it waits for the lock.
const (
	giveBackPause   = 5 * time.Second
	giveBackLongest = 10 * time.Minute
	// giveBackWait is what an attempt that nothing hurries waits for a lock.
	giveBackWait = 500 * time.Millisecond
)

// preparedTables is what the session knows of the tables that were prepared. Safe for concurrent use.
type preparedTables struct {
	mu    sync.Mutex
	byKey map[string]*registry.Prepared
	trial map[uint32]*trial
}

// trial is a table that could not be given back.
type trial struct {
	next  time.Time
	pause time.Duration
	said  string // what was logged of it last
}

// watchPrepared keeps up with the records.
func (s *session) watchPrepared(ctx context.Context) error {
	return ignoreEnd(ctx, s.c.tables.Watch(ctx, func(key string, p *registry.Prepared, err error) {
		s.prepared.mu.Lock()
		defer s.prepared.mu.Unlock()
		if err != nil {
			s.log.ErrorContext(ctx, "nobody can tell what a table was before it was prepared; it stays as it is", slog.String("key", key), slog.Any("error", err))
		}
		if p == nil {
			delete(s.prepared.byKey, key)
			return
		}
		s.prepared.byKey[key] = p
	}))
}

// all returns a copy of each record.
func (t *preparedTables) all() map[uint32]*registry.Prepared {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[uint32]*registry.Prepared, len(t.byKey))
	for _, p := range t.byKey {
		c := *p
		out[p.OID] = &c
	}
	return out
}

// usedTables are the oids of the tables of all shapes that have not ended. Inner shapes are among them.
func (s *session) usedTables(ctx context.Context) (map[uint32]bool, error) {
	used := map[uint32]bool{}
	err := s.onMain(ctx, func(context.Context) error {
		for table := range s.shapesOn {
			used[table] = true
		}
		return nil
	})
	return used, err
}

// idleStep is what the sweep does with a prepared table.
type idleStep int

const (
	idleNothing idleStep = iota
	idleNote             // that it is idle from now on
	idleForget           // that it was idle
	idleGiveBack
)

// stepOf decides what becomes of a prepared table.
func stepOf(p *registry.Prepared, used bool, grace time.Duration, now time.Time) idleStep {
	switch {
	case used && !p.Idle.IsZero():
		return idleForget
	case used:
		return idleNothing
	case p.Idle.IsZero():
		return idleNote
	case now.Sub(p.Idle) >= grace:
		return idleGiveBack
	}
	return idleNothing
}

// sweepTables gives back the tables on which no shape has been for the grace. A request that comes
// in that very moment prepares the table again, or its shape ends at once with the reason.
func (s *session) sweepTables(ctx context.Context) error {
	if s.c.cfg.TableGrace < 0 {
		return nil
	}
	tables := s.prepared.all()
	if len(tables) == 0 {
		return nil
	}
	used, err := s.usedTables(ctx)
	if err != nil {
		return err
	}
	for oid, p := range tables {
		switch stepOf(p, used[oid], s.c.cfg.TableGrace, time.Now()) {
		case idleNothing:
			continue
		case idleNote:
			p.Idle = time.Now().UTC()
			err = s.c.tables.Put(ctx, p)
		case idleForget:
			p.Idle = zeroTime
			err = s.c.tables.Put(ctx, p)
		case idleGiveBack:
			if s.prepared.mayTry(oid) {
				err = s.giveBackIdle(ctx, p)
			}
		}
		if err != nil && !errors.Is(err, registry.ErrConflict) { // somebody wants it; the watch brings what he noted
			return err
		}
	}
	return nil
}

func (s *session) giveBackIdle(ctx context.Context, p *registry.Prepared) error {
	err := s.giveBack(ctx, p, min(giveBackWait, s.c.cfg.LockTimeout), "no shape is on it any more")
	if err == nil || errors.Is(err, registry.ErrConflict) || ctx.Err() != nil {
		s.prepared.forget(p.OID)
		return err
	}
	if s.prepared.failed(p.OID, err) {
		s.log.WarnContext(ctx, "a table is not given back yet", slog.String("table", p.String()), slog.Any("error", err))
	}
	return nil
}

// giveBack puts a table back as it was and forgets it:
//
//	1 lock · 2 note that it is leaving · 3 change it · 4 remove the record
//
// Who wants the table behind 2 waits for the lock and prepares it again. A crash behind 3 leaves a
// record with which nothing is to be done, and the next sweep does 4.
func (s *session) giveBack(ctx context.Context, p *registry.Prepared, wait time.Duration, why string) error {
	conn, err := s.c.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	done, err := pg.GiveBack(ctx, conn.Conn(), s.c.cfg.Publication, &p.Prior, wait, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, giveBackPause)
		defer cancel()
		p.Leaving = true
		return s.c.tables.Put(ctx, p)
	})
	if err != nil {
		return err
	}
	s.c.cfg.Failpoint(failpoint.TableGivenBack)
	what := []any{slog.String("table", p.String()), slog.String("why", why), slog.Bool("left_publication", done.Left), slog.String("identity_of", strings.Join(done.Restored, ", "))}
	if done.Kept != "" {
		what = append(what, slog.String("identity_kept", done.Kept))
	}
	s.log.InfoContext(ctx, "table given back as it was", what...)
	return s.c.tables.Delete(ctx, p)
}

func (t *preparedTables) mayTry(oid uint32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	tr := t.trial[oid]
	return tr == nil || time.Now().After(tr.next)
}

// failed notes that an attempt failed and reports whether that is news.
func (t *preparedTables) failed(oid uint32, err error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	tr := t.trial[oid]
	if tr == nil {
		tr = &trial{pause: giveBackPause / 2}
		t.trial[oid] = tr
	}
	tr.pause = min(2*tr.pause, giveBackLongest)
	tr.next = time.Now().Add(tr.pause)
	news := tr.said != err.Error()
	tr.said = err.Error()
	return news
}

func (t *preparedTables) forget(oid uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.trial, oid)
}
