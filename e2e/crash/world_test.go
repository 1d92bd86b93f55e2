package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/e2e/logcheck"
	"github.com/shapebus/shapebus/e2e/proc"
	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/pgtemp"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
	"github.com/shapebus/shapebus/pkg/topology"
)

const schema = `
	CREATE TABLE items (id bigint PRIMARY KEY, kind int, body text, flag boolean);
	CREATE TABLE notes (author text, body text);
	CREATE INDEX ON notes (author) WHERE body NOT LIKE 'big%';`

// definitions are the shapes of every test: everything, found by a value,
// found by trying, and a table without a primary key.
func definitions() []client.Definition {
	return []client.Definition{
		{Table: "items"},
		{Table: "items", Where: "kind = 3"},
		{Table: "items", Where: "flag AND kind <> $1", Params: []any{"2"}, Columns: []string{"id", "body"}},
		{Table: "notes"},
		{Table: "notes", Where: "author = 'ann'"},
	}
}

// world is a Shapebus of processes.
type world struct {
	tb   testing.TB
	rng  *rand.Rand
	nats *natsServer
	// cluster is what nats stands for in some tests.
	cluster *natsCluster
	pg      *pgtemp.Server // nil when it is shared with other tests and must live
	url     string         // of the database
	source  topology.Source
	client  *client.Client

	ingest, consumer *proc.Test
	spare            *proc.Test // a second consumer, in some tests
	shapes           []*client.Shape
	asked            []client.Definition // of shapes
	traffic          *traffic
	big              int64 // large transactions so far
	torn             bool  // the change log may end inside of a transaction of which nobody has the rest
}

// options change a world before its servers start.
type options struct {
	ownPostgres bool
	natsDir     string // default: one of the test's own
	natsStore   int64  // its limit in bytes; 0 for none
	natsServers int    // of a cluster; 0 for one server
}

// newWorld starts servers and no service.
func newWorld(tb testing.TB, o options) *world {
	tb.Helper()
	if testing.Short() {
		tb.Skip("needs Postgres; not in -short")
	}
	seed := rand.Uint64()
	if text := os.Getenv("CRASH_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			tb.Fatalf("CRASH_SEED: %v", err)
		}
	}
	tb.Logf("CRASH_SEED=%d", seed)
	w := &world{
		tb: tb, rng: rand.New(rand.NewPCG(seed, 0)),
		// Slot names are the whole cluster's, so every world has its own source.
		source: topology.Source(fmt.Sprintf("c%08x", rand.Uint32())),
	}
	if o.ownPostgres {
		w.pg = pgtest.Own(tb, nil)
		w.url = w.pg.URL("postgres")
	} else {
		w.url = pgtest.Database(tb)
	}
	if o.natsServers > 0 {
		w.nats = &natsServer{tb: tb}
		w.cluster, w.nats.nc = startCluster(tb, o.natsServers)
		w.nats.js = w.cluster.js
	} else {
		w.nats = startNATS(tb, o)
	}
	var err error
	if w.client, err = client.New(w.nats.nc, string(w.source)); err != nil {
		tb.Fatal(err)
	}
	w.exec(schema)
	w.traffic = newTraffic(tb, w.url, w.rng.Uint64())
	return w
}

// start starts the services and makes the shapes.
func (w *world) start() {
	w.tb.Helper()
	w.startIngest(nil)
	w.startConsumer(nil)
	w.create()
}

// create asks for the shapes and waits until they are live.
func (w *world) create() {
	w.tb.Helper()
	w.request()
	w.awaitLive()
}

// awaitLive waits until every shape has its snapshot and follows the change log.
func (w *world) awaitLive() {
	w.tb.Helper()
	for i := range w.shapes {
		w.await(i, "live", func(s control.Shape) bool { return s.State == control.StateLive })
	}
}

// request asks for the shapes; their snapshots are read later.
func (w *world) request() {
	w.tb.Helper()
	for _, def := range definitions() {
		w.ask(def)
	}
}

// requestFrom asks for the shapes until the consumer that answers is gone, and
// returns what it has not answered.
func (w *world) requestFrom(consumer *proc.Test) (rest []client.Definition) {
	w.tb.Helper()
	all := definitions()
	for i, def := range all {
		if !w.askFrom(consumer, def) {
			return all[i:]
		}
	}
	return nil
}

// askFrom asks for one more shape until the consumer that answers is gone, and reports whether there is an answer.
func (w *world) askFrom(consumer *proc.Test, def client.Definition) bool {
	w.tb.Helper()
	var sh *client.Shape
	until(w.tb, "the shape is created, or the consumer is gone", func() (_ bool, err error) {
		if consumer.Gone() {
			return true, nil
		}
		sh, err = w.client.Create(w.tb.Context(), def)
		return err == nil, err
	})
	if sh == nil {
		return false
	}
	w.shapes, w.asked = append(w.shapes, sh), append(w.asked, def)
	return true
}

// ask asks for one more shape.
func (w *world) ask(def client.Definition) {
	w.tb.Helper()
	var sh *client.Shape
	until(w.tb, "the shape is created", func() (_ bool, err error) {
		if w.ingest.Gone() {
			w.tb.Fatalf("ingest did not start: %s", w.ingest.Log.Tail())
		}
		sh, err = w.client.Create(w.tb.Context(), def)
		return err == nil, err
	})
	w.shapes, w.asked = append(w.shapes, sh), append(w.asked, def)
}

// startIngest starts ingest with a fragment size that is another one each
// time. It is to die as given, if anything is.
func (w *world) startIngest(death *failpoint.Death, args ...string) {
	w.tb.Helper()
	size := []string{"--fragment-bytes", strconv.Itoa(4<<10 + w.rng.IntN(12<<10))}
	if w.rng.IntN(2) == 0 {
		size = append(size, "--fragment-ops", strconv.Itoa(50+w.rng.IntN(375)))
	}
	args = append(append([]string{"ingest", "--listen=", "--sync-interval", "300ms"}, size...), args...)
	w.ingest = w.service("ingest", death, args...)
}

func (w *world) startConsumer(death *failpoint.Death, args ...string) {
	w.tb.Helper()
	args = append([]string{"consumer", "--listen=", "--checkpoint", "100ms", "--catalog-interval", "1s"}, args...)
	w.consumer = w.service("consumer", death, args...)
}

func (w *world) service(name string, death *failpoint.Death, args ...string) *proc.Test {
	w.tb.Helper()
	w.tb.Logf("start %s %v %s", name, args[1:], death)
	env := []string{
		"SHAPEBUS_SOURCE=" + string(w.source),
		"SHAPEBUS_DATABASE_URL=" + w.url,
		"SHAPEBUS_NATS_URL=" + w.natsURL(),
	}
	if death != nil {
		env = append(env, "SHAPEBUS_FAILPOINT="+death.String())
	}
	return proc.Spawn(w.tb, proc.Options{Name: name, Path: built.Binary(w.tb), Args: args, Env: proc.Environment(env...)})
}

func (w *world) natsURL() string {
	if w.cluster != nil {
		return w.cluster.URL()
	}
	return w.nats.URL()
}

// connect opens a connection to Postgres, which may be starting.
func (w *world) connect() *pgx.Conn {
	w.tb.Helper()
	cfg, err := pg.ParseConfig(w.url, "test")
	if err != nil {
		w.tb.Fatal(err)
	}
	var conn *pgx.Conn
	until(w.tb, "Postgres answers", func() (_ bool, err error) {
		conn, err = pg.Connect(w.tb.Context(), cfg)
		return err == nil, err
	})
	return conn
}

// with runs f on a connection of its own: those from before may have died with the server.
func (w *world) with(f func(context.Context, *pgx.Conn) error) {
	w.tb.Helper()
	conn := w.connect()
	defer conn.Close(context.Background())
	if err := f(w.tb.Context(), conn); err != nil {
		w.tb.Fatal(err)
	}
}

// exec runs SQL, several statements if need be.
func (w *world) exec(sql string) {
	w.tb.Helper()
	w.with(func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.PgConn().Exec(ctx, sql).ReadAll()
		return err
	})
}

// await waits until ok says yes of the n-th shape.
func (w *world) await(n int, what string, ok func(control.Shape) bool) control.Shape {
	w.tb.Helper()
	sh := w.shapes[n]
	var info control.Shape
	defer func() {
		if w.tb.Failed() {
			w.tb.Logf("checkpoint %+v, change log %+v", w.checkpoint(), w.changes())
		}
	}()
	until(w.tb, fmt.Sprintf("shape %d (%s) is %s", n, sh.Handle(), what), func() (bool, error) {
		ctx, cancel := context.WithTimeout(w.tb.Context(), 5*time.Second)
		defer cancel()
		var err error
		info, err = sh.Refresh(ctx)
		if err != nil {
			return false, err
		}
		if info.State == control.StateEnded {
			w.tb.Fatalf("shape %d (%s) has ended: %s", n, sh.Handle(), info.Reason)
		}
		return ok(info), fmt.Errorf("it is %+v", info)
	})
	return info
}

// settle waits until all that is committed has been seen on every
// shape's behalf.
func (w *world) settle() {
	w.tb.Helper()
	w.settleFirst(len(w.shapes))
}

// settleFirst settles the first n shapes.
func (w *world) settleFirst(n int) {
	w.tb.Helper()
	var lsn change.LSN
	w.with(func(ctx context.Context, conn *pgx.Conn) (err error) {
		lsn, err = pg.EmitBarrier(ctx, conn, topology.BarrierPrefix, "settle")
		return err
	})
	for i := range n {
		w.await(i, "at "+lsn.String(), func(s control.Shape) bool {
			return s.State == control.StateLive && s.Applied >= lsn
		})
	}
}

// verify ends the traffic, settles, and judges every shape: the same handle,
// a lawful log, the rows of its SELECT. The services are to be running.
func (w *world) verify() {
	w.tb.Helper()
	w.traffic.stop()
	w.settle()
	w.auditAll()
	ctx := w.tb.Context()
	for i, def := range w.asked {
		sh := w.shapes[i]
		again, err := w.client.Create(ctx, def)
		if err != nil {
			w.tb.Fatal(err)
		}
		if again.Handle() != sh.Handle() {
			w.tb.Errorf("shape %d was %s and is %s now: its readers have to fetch again", i, sh.Handle(), again.Handle())
			continue
		}
		state, err := logcheck.Replay(ctx, w.nats.js, w.source, sh.Info())
		if err != nil {
			w.tb.Error(err)
			continue
		}
		if state.Open {
			w.tb.Errorf("shape %d: the log ends inside a transaction", i)
		}
		w.with(func(ctx context.Context, conn *pgx.Conn) error {
			want, err := logcheck.Select(ctx, conn, sh.Info())
			if err != nil {
				return err
			}
			if d := logcheck.Diff(state.Rows, want); d != "" {
				w.tb.Errorf("shape %d (%s): %s", i, sh.Handle(), d)
			}
			w.tb.Logf("shape %d: %d rows, %d ops in %d transactions, as its SELECT says", i, len(want), state.Ops, state.Markers)
			return nil
		})
	}
	w.tb.Logf("traffic: %d transactions, %d failed", w.traffic.done.Load(), w.traffic.failed.Load())
}
