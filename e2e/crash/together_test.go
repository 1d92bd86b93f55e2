package crash

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/e2e/proc"
	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/pkg/control"
)

// A consumer dies when a shape has come to the end of a unit together with its chain, before it has its rows. What it selects from
// changes all the time, so sooner or later one of the new shapes begins that way.
func TestConsumerDiesWhileAShapeBeginsWithItsChain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.exec(selecting)
	w.startIngest(nil)
	w.service("materializer", nil, "materializer", "--listen=", "--sync-interval", "100ms")
	w.startConsumer(failpoint.At(failpoint.ChainParted, 1))
	for _, def := range selectingShapes() {
		w.ask(def)
	}
	w.awaitLive()
	rest := w.neverRests()
	for n := 0; !w.consumer.Gone(); n++ {
		if n == 60 {
			t.Fatalf("none of %d shapes began together with what it selects from", n)
		}
		def := selectingShapes()[outerShape]
		def.Where += fmt.Sprintf(" AND id <> %d", 10_000+n)
		if w.askFrom(w.consumer, def) {
			w.awaitFrom(w.consumer, len(w.shapes)-1)
		}
	}
	w.consumer.DiesAt(failpoint.ChainParted)
	w.startConsumer(nil)
	rest()
	w.awaitLive()
	w.verify()
}

// neverRests changes what is selected at full speed, in one session, until rest.
func (w *world) neverRests() (rest func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var writing sync.WaitGroup
	conn := w.connect()
	writing.Go(func() {
		defer conn.Close(context.WithoutCancel(ctx))
		for n := 0; ctx.Err() == nil; n++ {
			if _, err := conn.Exec(context.WithoutCancel(ctx), "UPDATE teams SET active = NOT active WHERE id = 'team ' || $1 || repeat('.', 60)", pgx.QueryExecModeExec, fmt.Sprint(n%20)); err != nil {
				w.tb.Error(err)
				return
			}
		}
	})
	rest = sync.OnceFunc(func() {
		cancel()
		writing.Wait()
	})
	w.tb.Cleanup(rest)
	return rest
}

// awaitFrom waits until the n-th shape is live, or the consumer is gone.
func (w *world) awaitFrom(consumer *proc.Test, n int) {
	w.tb.Helper()
	until(w.tb, "the shape is live, or the consumer is gone", func() (bool, error) {
		if consumer.Gone() {
			return true, nil
		}
		info, err := w.shapes[n].Refresh(w.tb.Context())
		return info.State == control.StateLive, err
	})
}
