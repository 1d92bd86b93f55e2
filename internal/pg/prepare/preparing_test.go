package prepare_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/dbtest"
	"github.com/shapebus/shapebus/internal/pg/prepare"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

func TestNoTableIsPreparedWhileASlotIsMade(t *testing.T) {
	url := pgtest.Database(t)
	maker, consumer, admin := dbtest.Dial(t, url), dbtest.Dial(t, url), dbtest.Dial(t, url)
	dbtest.Script(t, admin, "CREATE TABLE t (id int PRIMARY KEY)")
	info := dbtest.Lookup(t, admin, "public", "t", "p")
	asked := errors.New("asked")
	preparing := func() error {
		return prepare.Preparing(t.Context(), consumer, info, 50*time.Millisecond, func() error { return asked })
	}
	made := errors.New("made")
	err := prepare.WithoutPreparing(t.Context(), maker, func() error {
		err := preparing()
		if errors.Is(err, asked) || err == nil || !strings.Contains(err.Error(), "while a replication slot is being made") || pg.Permanent(err) {
			t.Errorf("while a slot is made: %v", err)
		}
		return made
	})
	if !errors.Is(err, made) {
		t.Errorf("%v", err)
	}
	if err := preparing(); !errors.Is(err, asked) {
		t.Errorf("once it is there: %v", err)
	}

	// The other way round: who makes a slot waits for those who prepare tables.
	done := make(chan error, 1)
	err = prepare.Preparing(t.Context(), consumer, info, time.Second, func() error {
		go func() { done <- prepare.WithoutPreparing(t.Context(), maker, func() error { return nil }) }()
		dbtest.Eventually(t, admin, "who makes a slot waits", "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND pid = $1)", maker.PgConn().PID())
		select {
		case err := <-done:
			t.Errorf("it did not wait: %v", err)
		default:
		}
		return nil
	})
	if err := errors.Join(err, <-done); err != nil {
		t.Error(err)
	}
	dbtest.Eventually(t, admin, "nobody has a lock", nobodyHasALock)
}
