package oracle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/wire"
)

// atRest judges what must come true of itself once nothing happens any more.
func (w *world) atRest(floor change.LSN) {
	w.tb.Helper()
	w.allEnd()
	w.expect("no shape is being made or ended", func() (bool, error) {
		ctx, cancel := context.WithTimeout(w.tb.Context(), 10*time.Second)
		defer cancel()
		all, err := w.client.List(ctx)
		if err != nil {
			return false, err
		}
		for _, info := range all {
			if info.State == control.StateCreating || info.State == control.StateDeleting {
				return false, fmt.Errorf("shape %s is %s: %s", info.Handle, info.State, info.Reason)
			}
		}
		return true, nil
	})
	w.expect("the change log may be trimmed up to "+floor.String(), func() (bool, error) { return w.floorIsAt(floor) })
	w.expect("nobody holds a snapshot", func() (bool, error) {
		var n int
		err := w.db.QueryRow(w.tb.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE application_name LIKE 'shapebus/%' AND state LIKE 'idle in transaction%'`).Scan(&n)
		return err == nil && n == 0, errors.Join(err, fmt.Errorf("%d are open", n))
	})
}

// allEnd waits for the end of the shapes that must end. One that is asked for
// before may select from one of them, and then it rightly ends as well.
func (w *world) allEnd() {
	w.tb.Helper()
	for ; w.ended < len(w.ending); w.ended++ {
		l := w.ending[w.ended]
		w.expect("shape "+l.describe()+" has ended, because "+l.mustEnd, func() (bool, error) {
			ctx, cancel := context.WithTimeout(w.tb.Context(), 10*time.Second)
			defer cancel()
			info, err := l.shape.Refresh(ctx)
			if errors.Is(err, client.ErrNotFound) {
				return true, nil
			}
			if err == nil && info.State == control.StateEnded && info.Reason == "" {
				w.tb.Errorf("shape %s has ended without a reason", l.describe())
			}
			return err == nil && info.State == control.StateEnded, errors.Join(err, fmt.Errorf("it is %+v", info))
		})
	}
}

// floorIsAt reports whether no checkpoint keeps the change log from being
// trimmed up to there.
func (w *world) floorIsAt(lsn change.LSN) (bool, error) {
	for p := range w.plan.partitions {
		st, err := w.js.Stream(w.tb.Context(), w.source.ShapeStream(p))
		if err != nil {
			return false, err
		}
		m, err := st.GetLastMsgForSubject(w.tb.Context(), w.source.CheckpointSubject(p))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // nothing has been written there
		}
		if err != nil {
			return false, err
		}
		c, err := wire.DecodeCheckpoint(m.Data)
		if err != nil {
			return false, err
		}
		if change.LSN(c.FloorLSN) < lsn {
			return false, fmt.Errorf("the floor of partition %d is %s", p, change.LSN(c.FloorLSN))
		}
	}
	return true, nil
}

// everywhere changes a row in every table twice, and returns where the WAL was in between.
func (w *world) everywhere() (between change.LSN) {
	w.tb.Helper()
	load := &workload{rng: w.rng, schema: w.schema}
	for range 2 {
		var text string
		if err := w.db.QueryRow(w.tb.Context(), "SELECT pg_current_wal_insert_lsn()::text").Scan(&text); err != nil {
			w.tb.Fatal(err)
		}
		between, _ = change.ParseLSN(text) // Postgres wrote it
		for _, t := range w.schema.Tables {
			if len(t.Key) == 0 {
				w.exec(load.insertKeyless(t))
				continue
			}
			w.until("a row of "+t.SQL()+" is written", func() (bool, error) { // its key may refer to what is not there
				_, err := w.db.PgConn().Exec(w.tb.Context(), load.upsert(t)).ReadAll()
				return err == nil, err
			})
		}
	}
	return between
}

// readersAtRest waits until every reader has read all there is, and says which
// were told to fetch again though their shape lives.
func (w *world) readersAtRest(records []*Record) {
	w.tb.Helper()
	if w.watchers == nil {
		return
	}
	for _, rec := range records {
		if !rec.Rest {
			continue
		}
		end, err := rec.Log.Play(nil)
		if err != nil || end.Ended != "" {
			continue // the judge says so
		}
		handle := rec.Log.Shape.Handle
		for _, h := range w.watchers.last[handle] {
			w.expect("a reader of shape "+handle+" is at the end of its log, "+end.Last.String(), func() (bool, error) {
				at, commit, over := h.stands()
				if over != "" {
					w.tb.Errorf("a reader of shape %s was told to fetch again, though it lives: %s", handle, over)
					return true, nil
				}
				return commit && !at.Before(end.Last), fmt.Errorf("it is at %s", at)
			})
		}
	}
	for _, l := range w.ending {
		for _, h := range w.watchers.last[l.shape.Handle()] {
			w.expect("a reader of shape "+l.describe()+" is told that it has ended, because "+l.mustEnd, func() (bool, error) {
				_, _, over := h.stands()
				return over != "", nil
			})
		}
	}
	w.watchers.stop()
	for _, text := range w.watchers.wrong {
		w.tb.Error(text)
	}
	for _, rec := range append(records, w.records...) {
		rec.Reads = w.watchers.reads[rec.Log.Shape.Handle]
	}
}

func (l *living) describe() string {
	return fmt.Sprintf("%s (%s of %s WHERE %s)", l.shape.Handle(), l.kind, l.def.Table, l.def.Where)
}

// expect waits for what must come true. If it does not, the run goes on, with
// less patience for what comes next.
func (w *world) expect(what string, ok func() (bool, error)) {
	w.tb.Helper()
	limit := restPatience
	if w.failed {
		limit = 5 * time.Second
	}
	began := time.Now()
	err := w.await(limit, ok)
	for err != nil && time.Since(w.moved) < limit && time.Since(began) < restMost {
		err = w.await(limit/4, ok)
	}
	if err != nil {
		w.failed = true
		w.tb.Errorf("waited %s until %s: %v", time.Since(began).Round(time.Second), what, err)
	}
}

const (
	// restPatience is generous: nothing but what is judged happens meanwhile.
	restPatience = time.Minute
	// restMost bounds the wait for shapes that come nearer all the time, on a machine that others use.
	restMost = 10 * time.Minute
)
