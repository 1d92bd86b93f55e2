package live

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shapebus/shapebus/internal/service"
)

// Who waits for the change log to go on does not rely on one barrier, which may be lost with its server.
func TestWhatStandsStillIsNudged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &Loop{Cfg: &Config{Nudge: 3 * time.Second}, Calls: service.NewLoop(ctx), elsewhere: map[string]Owner{}}
		main := func(f func()) {
			if err := s.OnMain(ctx, func(context.Context) error { f(); return nil }); err != nil {
				t.Error(err)
			}
		}
		go func() {
			for {
				select {
				case f := <-s.Calls.Calls():
					_ = f(ctx)
				case <-ctx.Done():
					return
				}
			}
		}()
		var nudges atomic.Int32
		done := make(chan error, 1)
		go func() { done <- s.KeepMoving(ctx, func(context.Context) { nudges.Add(1) }) }()
		for _, c := range []struct {
			name   string
			change func()
			moves  bool
			want   int
		}{
			{"nobody waits", func() {}, false, 0},
			{"a group waits", func() { s.elsewhere["in a group"] = nil }, false, 10},
			{"the change log goes on", func() {}, true, 0},
			{"a new shape waits", func() { clear(s.elsewhere); s.elsewhere["new"] = nil }, false, 10},
		} {
			main(c.change)
			nudges.Store(0)
			for range 30 {
				time.Sleep(time.Second)
				if c.moves {
					main(func() { s.Read.Seq++ })
				}
			}
			synctest.Wait()
			if n := int(nudges.Load()); n < c.want-1 || n > c.want+1 {
				t.Errorf("%s: %d nudges in half a minute, want %d", c.name, n, c.want)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
