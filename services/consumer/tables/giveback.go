package tables

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/pg/prepare"
	"github.com/shapebus/shapebus/internal/registry"
)

// giveBackPause is the first pause after a table could not be given back; each further one is twice
// as long, up to giveBackLongest. An attempt holds up the application's statements for as long as it waits for the lock.
const (
	giveBackPause   = 5 * time.Second
	giveBackLongest = 10 * time.Minute
	// giveBackWait is what an attempt that nothing hurries waits for a lock.
	giveBackWait = 500 * time.Millisecond
)

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

// Sweep gives back the tables on which no shape has been for the grace. A request that comes
// in that very moment prepares the table again, or its shape ends at once with the reason.
func (k *Keeper) Sweep(ctx context.Context) error {
	if k.cfg.Grace < 0 {
		return nil
	}
	tables := k.all()
	if len(tables) == 0 {
		return nil
	}
	used, err := k.used(ctx)
	if err != nil {
		return err
	}
	for oid, p := range tables {
		switch stepOf(p, used[oid], k.cfg.Grace, time.Now()) {
		case idleNothing:
			continue
		case idleNote:
			p.Idle = time.Now().UTC()
			err = k.cfg.Records.Put(ctx, p)
		case idleForget:
			p.Idle = time.Time{}
			err = k.cfg.Records.Put(ctx, p)
		case idleGiveBack:
			if k.mayTry(oid) {
				err = k.giveBackIdle(ctx, p)
			}
		}
		if err != nil && !errors.Is(err, registry.ErrConflict) { // somebody wants it; the watch brings what he noted
			return err
		}
	}
	return nil
}

func (k *Keeper) giveBackIdle(ctx context.Context, p *registry.Prepared) error {
	err := k.giveBack(ctx, p, min(giveBackWait, k.cfg.LockTimeout), "no shape is on it any more")
	if err == nil || errors.Is(err, registry.ErrConflict) || ctx.Err() != nil {
		k.forget(p.OID)
		return err
	}
	if k.failed(p.OID, err) {
		k.cfg.Log.WarnContext(ctx, "a table is not given back yet", slog.String("table", p.String()), slog.Any("error", err))
	}
	return nil
}

// giveBack puts a table back as it was and forgets it:
//
//	1 lock · 2 note that it is leaving · 3 change it · 4 remove the record
//
// Who wants the table behind 2 waits for the lock and prepares it again. A crash behind 3 leaves a
// record with which nothing is to be done, and the next sweep does 4.
func (k *Keeper) giveBack(ctx context.Context, p *registry.Prepared, wait time.Duration, why string) error {
	conn, err := k.cfg.Pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	done, err := prepare.GiveBack(ctx, conn.Conn(), k.cfg.Publication, &p.Prior, wait, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, giveBackPause)
		defer cancel()
		p.Leaving = true
		return k.cfg.Records.Put(ctx, p)
	})
	if err != nil {
		return err
	}
	k.cfg.Failpoint(failpoint.TableGivenBack)
	what := []any{slog.String("table", p.String()), slog.String("why", why), slog.Bool("left_publication", done.Left), slog.String("identity_of", strings.Join(done.Restored, ", "))}
	if done.Kept != "" {
		what = append(what, slog.String("identity_kept", done.Kept))
	}
	k.cfg.Log.InfoContext(ctx, "table given back as it was", what...)
	return k.cfg.Records.Delete(ctx, p)
}

func (k *Keeper) mayTry(oid uint32) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	tr := k.trial[oid]
	return tr == nil || time.Now().After(tr.next)
}

// failed notes that an attempt failed and reports whether that is news.
func (k *Keeper) failed(oid uint32, err error) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	tr := k.trial[oid]
	if tr == nil {
		tr = &trial{pause: giveBackPause / 2}
		k.trial[oid] = tr
	}
	tr.pause = min(2*tr.pause, giveBackLongest)
	tr.next = time.Now().Add(tr.pause)
	news := tr.said != err.Error()
	tr.said = err.Error()
	return news
}

func (k *Keeper) forget(oid uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.trial, oid)
}
