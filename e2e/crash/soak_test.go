package crash

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/long"
	"github.com/shapebus/shapebus/internal/failpoint"
)

// soakEnv says how long TestSoak kills, such as 10m.
const soakEnv = "SHAPEBUS_SOAK"

// TestSoak kills whatever it likes whenever it likes, for 15 seconds or as
// long as soakEnv says, and judges every shape from time to time.
func TestSoak(t *testing.T) {
	if os.Getenv(soakEnv) == "" {
		long.Only(t)
	}
	t.Parallel()
	lasts := 15 * time.Second
	if text := os.Getenv(soakEnv); text != "" {
		var err error
		if lasts, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s: %v", soakEnv, err)
		}
	}
	w := newWorld(t, options{ownPostgres: true})
	w.start()
	w.spare = w.consumer
	w.startConsumer(nil)
	w.traffic.run()
	const verifyEvery = 12
	end := time.Now().Add(lasts)
	for round := 1; time.Now().Before(end); round++ {
		w.pause(1500 * time.Millisecond)
		w.fault()
		if round%verifyEvery == 0 {
			w.heal()
			w.verify()
			w.traffic.run()
		}
	}
	w.heal()
	w.verify()
}

// fault lets something bad happen.
func (w *world) fault() {
	w.tb.Helper()
	at := func(points []failpoint.Point) *failpoint.Death {
		return failpoint.At(points[w.rng.IntN(len(points))], 1+w.rng.IntN(300))
	}
	switch w.rng.IntN(9) {
	case 0, 1:
		w.tb.Log("ingest is killed")
		w.ingest.Kill()
		w.startIngest(at(failpoint.Of(failpoint.Ingest))) // it may die there again, or not
	case 2:
		w.tb.Log("ingest is stopped")
		w.ingest.Stop()
		w.startIngest(nil)
	case 3, 4:
		w.tb.Log("a consumer is killed")
		w.consumer, w.spare = w.spare, w.consumer
		w.consumer.Kill()
		w.startConsumer(at([]failpoint.Point{failpoint.AfterFragment, failpoint.AfterAppend, failpoint.BeforeCheckpoint}))
	case 5:
		w.tb.Log("a consumer sleeps")
		w.consumer.Signal(syscall.SIGSTOP)
		w.pause(15 * time.Second)
		w.consumer.Signal(syscall.SIGCONT)
	case 6:
		w.killNATS("at any moment")
	case 7:
		w.tb.Log("Postgres is killed")
		w.killPostgres(w.tb.Context(), nil)
	case 8:
		w.bigTransaction()
	}
	if w.ingest.Gone() {
		w.ingest.WasKilled()
		w.startIngest(nil)
	}
	if w.consumer.Gone() {
		w.consumer.WasKilled()
		w.startConsumer(nil)
	}
}

// heal has the services run without failpoints.
func (w *world) heal() {
	w.tb.Helper()
	w.ingest.Stop()
	w.consumer.Stop()
	w.spare.Stop()
	w.startIngest(nil)
	w.startConsumer(nil)
	w.spare = w.consumer
	w.startConsumer(nil)
}
