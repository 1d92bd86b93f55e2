package fold

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/wire"
)

// errNeeded says that what a generation replaces is still needed. That takes no trouble to wait for.
var errNeeded = errors.New("what the last fold replaced is needed until the sets of those who select from the shape have other bases")

// setsOf names the value sets by which shapes select from one. Runs on the main loop.
func (s *Folder) setsOf(handle string) (sets []string) {
	for id := range s.DependsOn[handle] {
		for _, q := range s.Records[id].Subqueries {
			if q.Handle == handle {
				sets = append(sets, q.ValueSet())
			}
		}
	}
	return sets
}

// settled fails with errNeeded while a value set has no base at the generation or behind it: until then the materializer reads the
// log on from where the base stands when it begins again. Power may take a base back that is not yet on disk.
func (j *job) settled(ctx context.Context, sets []string) error {
	if len(sets) == 0 {
		return nil
	}
	st, err := j.s.JS.Stream(ctx, j.s.Cfg.Source.VerdictStream(j.part.N))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return errNeeded
	}
	if err != nil {
		return fmt.Errorf("look for the bases of value sets: %w", err)
	}
	for _, set := range sets {
		m, err := st.GetLastMsgForSubject(ctx, j.s.Cfg.Source.BaseSubject(j.part.N, set))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return errNeeded
		}
		var b wire.Base
		if err == nil {
			b, err = wire.DecodeBase(m.Data)
		}
		if err != nil {
			return fmt.Errorf("read the base of value set %s: %w", set, err)
		}
		if b.Offset().Before(j.begins.Offset()) {
			return errNeeded
		}
		if j.k.based[set].IsZero() { // others follow, where values come and go all the time
			j.k.based[set] = m.Time // b.At may be long before, if the materializer stood still
		}
		if time.Since(j.k.based[set]) < j.s.cfg.Sync {
			return errNeeded
		}
	}
	return nil
}
