package materializer

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/shapebus/shapebus/pkg/change"
)

// trim removes what nobody needs any more: verdicts, and sets that no shape has
// depended on for long.
func (s *session) trim(ctx context.Context) error {
	tick := time.NewTicker(s.m.cfg.TrimInterval)
	defer tick.Stop()
	var floors floors
	trimmed := map[string]limit{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := s.loop.Do(ctx, s.dropLingering)
		if err == nil {
			err = s.trimVerdicts(ctx, &floors, trimmed)
		}
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "verdicts not trimmed", slog.Any("error", err))
		}
	}
}

// dropLingering removes sets whose time is over. Runs on the main loop, so that
// none of them is wanted again meanwhile.
func (s *session) dropLingering(ctx context.Context) error {
	for name, since := range s.lingering {
		if time.Since(since) < s.m.cfg.Retention {
			continue
		}
		if err := s.store.Drop(ctx, name); err != nil {
			return err
		}
		delete(s.lingering, name)
	}
	return nil
}

// limit is how far verdicts on a set may be trimmed.
type limit struct {
	upTo  change.Offset // of the base that holds what they say
	below change.LSN    // what every shape has behind it
}

// trimVerdicts removes the verdicts that a set's base covers and that no shape
// will ask for: a shape reads the change log again from its partition's floor at
// the earliest, and needs the verdicts from there on.
func (s *session) trimVerdicts(ctx context.Context, floors *floors, trimmed map[string]limit) error {
	bases := map[string]change.Offset{}
	err := s.loop.Do(ctx, func(context.Context) error {
		for name, f := range s.sets {
			if f.stage == live && f.based && !f.dropped {
				bases[name] = f.base.Offset()
			}
		}
		return nil
	})
	if err != nil || len(bases) == 0 {
		return err
	}
	// Read behind the bases: a set of a history is there only behind the beginning of that.
	history, err := s.source.HistoryNow(ctx, s.js)
	if err != nil {
		return err
	}
	below, err := s.m.lowest.get(ctx, s.m.cfg.TrimInterval/2, history.ID, s.lowestFloor)
	if err != nil {
		return err
	}
	below = floors.add(time.Now(), below, history.ID, s.m.cfg.SyncInterval)
	for name := range trimmed {
		if _, ok := bases[name]; !ok {
			delete(trimmed, name)
		}
	}
	for name, base := range bases {
		now := limit{base, min(below, base.LSN+1)}
		if base.IsZero() || now.below == 0 || trimmed[name] == now {
			continue
		}
		if err := s.store.Trim(ctx, name, base, below); err != nil {
			return err
		}
		trimmed[name] = now
	}
	return nil
}

// floors are stored floors that may not be on disk yet. Should the server lose
// them with its power, the verdicts must still reach down to the ones before.
type floors []storedFloor

type storedFloor struct {
	at      time.Time
	lsn     change.LSN
	history string // in which it is a place
}

// add notes a floor and returns the highest one known to be on disk, 0 before
// there is one. A floor below ones before it says that those are not true any more, and so does one of another history.
func (f *floors) add(now time.Time, lsn change.LSN, history string, sync time.Duration) (safe change.LSN) {
	*f = append(slices.DeleteFunc(*f, func(o storedFloor) bool { return o.lsn > lsn || o.history != history }), storedFloor{now, lsn, history})
	for _, o := range *f {
		if now.Sub(o.at) >= sync {
			safe = o.lsn
		}
	}
	// Those before the safe one tell nothing more.
	*f = slices.DeleteFunc(*f, func(o storedFloor) bool { return o.lsn < safe })
	return safe
}
