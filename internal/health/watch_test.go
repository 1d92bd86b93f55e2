package health

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// denial is how a server says that it does not believe who this is.
type denial struct{ error }

func (denial) Denied() bool { return true }

func TestOnlyDenialsInARowCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused, down := denial{errors.New("password authentication failed")}, errors.New("connection refused")
		var says error
		w := NewWatch(nil) // it looks at no stream
		w.Postgres = func(context.Context) error { return says }
		for _, c := range []struct {
			when string
			says error
			want time.Duration // for how long it is denied
		}{
			{"Postgres answers", nil, -1},
			{"it denies", refused, 0},
			{"it still denies", refused, askEvery},
			{"it is down", down, -1},
			{"it denies once more", refused, 0},
			{"it answers", nil, -1},
		} {
			says = c.says
			time.Sleep(askEvery)
			w.look(t.Context())
			got := time.Duration(-1)
			if !w.denied.IsZero() {
				got = time.Since(w.denied)
			}
			if got != c.want {
				t.Errorf("when %s: denied for %s, want %s (-1ns is not at all)", c.when, got, c.want)
			}
		}
	})
}
