package oracle

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

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

// world is a Shapebus of processes, its database, and what it was asked for.
type world struct {
	tb         testing.TB
	rng        *rand.Rand
	plan       *plan
	subqueries bool
	began      time.Time
	events     []Event

	pg     *pgtemp.Server
	url    string
	db     *pgx.Conn // for the test's own statements
	schema *Schema
	stream *decoder // of the oracle's slot

	source topology.Source
	js     jetstream.JetStream
	natsd  *proc.NATS
	client *client.Client

	services []*service
	procs    []*proc.Test // all that were started
	clauses  *clauses
	wanted   []wish // whose inner shapes were asked for, so that the outer one can adopt them
	shapes   []*living
	records  []*Record // of shapes that were dropped
	ending   []*living // which must end
	ended    int       // how many of them have
	refused  int
	asked    int
	crowded  int

	locked     *Table            // by hold
	inner      []*Table          // of a shape of the locked table
	defined    map[string]*Table // what tables are after changes
	droppedAll int
	watchers   *watchers // nil unless somebody reads along
	archive    *archive  // nil unless logs are folded
	readers    int
	failed     bool                  // something that must come true did not
	looked     time.Time             // when it was looked how far all shapes are
	reached    map[string]change.LSN // how far they were, by handle
	written    map[string]int64      // how long their logs were, by handle
	moved      time.Time             // when one was last seen to be further
}

// living is a shape that was asked for.
type living struct {
	kind  Kind
	def   client.Definition
	shape *client.Shape
	inner bool // some other shape may depend on it
	made  bool // because a subquery selects from it, not because it was asked for

	mustEnd string // why, of one that must
}

// service is one of the processes, and how it is started again.
type service struct {
	name   string
	points []failpoint.Point // where it can be made to die
	args   func() []string
	lease  bool
	proc   *proc.Test
	kills  int
}

// settings of the server: commits that ask for it wait for a standby that does
// not exist, until they are cancelled; the others do not.
func settings() map[string]string {
	return map[string]string{
		"synchronous_standby_names": "nobody",
		"synchronous_commit":        "local",
		"deadlock_timeout":          "50ms",
		"max_connections":           "90",
		"max_prepared_transactions": "10",
	}
}

func newWorld(tb testing.TB, rng *rand.Rand, plan *plan, subqueries bool) *world {
	tb.Helper()
	if testing.Short() {
		tb.Skip("needs Postgres; not in -short")
	}
	w := &world{tb: tb, rng: rng, plan: plan, began: time.Now(), subqueries: subqueries, source: "oracle", schema: newSchema(rng), defined: map[string]*Table{}, reached: map[string]change.LSN{}, written: map[string]int64{}}
	w.clauses = &clauses{rng: rng, schema: w.schema, again: plan.has(again), used: map[*Table][]selected{}}
	w.pg = pgtest.Own(tb, settings())
	w.url = w.pg.URL("postgres")
	w.db = w.connect()
	w.exec(w.schema.create(false))
	names := ""
	w.stream = &decoder{tables: map[uint32]string{}, names: pg.Qualified}
	for i, t := range w.schema.Tables {
		if i > 0 {
			names += ", "
		}
		names += t.SQL()
	}
	w.exec("CREATE PUBLICATION " + publication + " FOR TABLE " + names)
	w.exec("SELECT pg_create_logical_replication_slot('" + slotName + "', 'pgoutput')")
	w.startNATS()
	w.services = []*service{
		{name: "ingest", args: w.ingestArgs, points: failpoint.Of(failpoint.Ingest)},
		{name: "consumer", args: w.consumerArgs, lease: true, points: []failpoint.Point{
			failpoint.AfterFragment, failpoint.AfterAppend, failpoint.BeforeCheckpoint, failpoint.MidSnapshot, failpoint.AfterSnapshotRows, failpoint.AfterSnapshotEntry,
			failpoint.GroupFragment, failpoint.UnitOpen, failpoint.UnitRow, failpoint.UnitReread, failpoint.UnitMarked,
			failpoint.ChainParted,
		}},
	}
	if plan.has(folds) {
		w.services[1].points = append(w.services[1].points, failpoint.FoldBegun, failpoint.FoldRow, failpoint.FoldCopied, failpoint.FoldStored,
			failpoint.FoldUntold, failpoint.FoldCut, failpoint.FoldPurged)
		w.archive = newArchive(w.js, w.source, plan.partitions)
		tb.Cleanup(w.archive.stop)
	}
	if subqueries {
		w.services = append(w.services, &service{name: "materializer", args: w.materializerArgs, lease: true, points: materializerPoints})
	}
	if plan.has(shared) {
		for _, s := range w.services[1:] {
			w.services = append(w.services, s.another())
		}
		w.services = append(w.services, w.services[1].another())
	}
	for _, s := range w.services {
		w.start(s, nil)
	}
	return w
}

// another is one more process of the same kind.
func (s *service) another() *service {
	return &service{name: s.name, args: s.args, lease: s.lease, points: s.points}
}

// materializerPoints are where the materializer can be made to die.
var materializerPoints = []failpoint.Point{failpoint.AfterVerdict, failpoint.BeforeBase, failpoint.AfterBaseValues, failpoint.AfterBase}

// start starts a service. It is to die as given, if anything is.
func (w *world) start(s *service, death *failpoint.Death) {
	w.tb.Helper()
	args := s.args()
	w.note("start %s %v %s", s.name, args[1:], death)
	env := []string{"SHAPEBUS_LOG_LEVEL=debug", "SHAPEBUS_SOURCE=" + string(w.source), "SHAPEBUS_DATABASE_URL=" + w.url, "SHAPEBUS_NATS_URL=" + w.natsd.URL()}
	if death != nil {
		env = append(env, "SHAPEBUS_FAILPOINT="+death.String())
	}
	s.proc = proc.Spawn(w.tb, proc.Options{Name: s.name, Path: program(w.tb), Args: args, Env: proc.Environment(env...)})
	w.procs = append(w.procs, s.proc)
}

// revive starts what has died at a failpoint. Nothing may die of anything else.
func (w *world) revive() {
	w.tb.Helper()
	for _, s := range w.services {
		if s.proc.Gone() {
			if !s.proc.Killed() {
				w.tb.Fatalf("%s ended by itself, with %s:\n%s", s.name, s.proc.State(), s.proc.Log.Tail())
			}
			w.note("%s died at a failpoint", s.name)
			s.kills++
			w.expire(s)
			w.start(s, nil)
		}
	}
}

// crash kills a service and starts it again, perhaps to die at one of its points.
func (w *world) crash(s *service) {
	w.tb.Helper()
	if w.rng.IntN(4) == 0 {
		s.goOn() // or it would not hear it
		s.proc.Stop()
		w.note("%s was told to stop", s.name)
	} else {
		s.proc.Kill()
		s.kills++
		w.note("%s was killed", s.name)
	}
	w.expire(s)
	var death *failpoint.Death
	if len(s.points) > 0 && w.rng.IntN(3) > 0 {
		death = failpoint.At(s.points[w.rng.IntN(len(s.points))], 1+w.rng.IntN([]int{5, 100}[w.rng.IntN(2)]))
	}
	w.start(s, death)
}

// expire makes a process forgotten that is dead for certain and the only one of its kind, which would
// otherwise take until long after the next one is there. Where there are others, these find out.
func (w *world) expire(s *service) {
	w.tb.Helper()
	if !s.lease || w.plan.has(shared) {
		return
	}
	for _, bucket := range []string{w.source.MemberBucket(), w.source.LeaseBucket()} {
		kv, err := w.js.KeyValue(w.tb.Context(), bucket)
		if err != nil {
			return // nobody has come as far as to make one
		}
		keys, err := kv.Keys(w.tb.Context())
		if err != nil {
			continue // there are none
		}
		for _, k := range keys {
			if strings.HasPrefix(k, s.name+".") {
				if err := kv.Purge(w.tb.Context(), k); err != nil {
					w.tb.Error(err)
				}
			}
		}
	}
}

func (w *world) connect() *pgx.Conn {
	w.tb.Helper()
	conn, err := w.dial(w.tb.Context())
	if err != nil {
		w.tb.Fatal(err)
	}
	w.tb.Cleanup(func() { _ = conn.Close(context.Background()) }) // the server goes too
	return conn
}

func (w *world) dial(ctx context.Context) (*pgx.Conn, error) {
	cfg, err := pg.ParseConfig(w.url, "oracle")
	if err != nil {
		return nil, err
	}
	return pg.Connect(ctx, cfg)
}

func (w *world) exec(sql string) {
	w.tb.Helper()
	if _, err := w.db.PgConn().Exec(w.tb.Context(), sql).ReadAll(); err != nil {
		w.tb.Fatalf("%s: %v", sql, err)
	}
}

// until waits for something without which the run cannot go on.
func (w *world) until(what string, ok func() (bool, error)) {
	w.tb.Helper()
	if err := w.await(proc.Patience, ok); err != nil {
		w.tb.Fatalf("waited %s until %s; last error: %v\n%s", proc.Patience, what, err, (&Recording{Events: w.told()}).around(^change.LSN(0)))
	}
}

// await polls a condition of a system that has no signal for it, while what
// died at a failpoint is started again.
func (w *world) await(limit time.Duration, ok func() (bool, error)) error {
	w.tb.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		yes, err := ok()
		if yes {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.Join(err, errors.New("it is not so"))
		}
		w.revive()
		select {
		case <-tick.C:
		case <-w.tb.Context().Done():
			w.tb.Fatal(w.tb.Context().Err())
		}
	}
}

// ask asks for a shape, and returns nil if it is refused.
func (w *world) ask(want wish, inner bool) *living {
	w.tb.Helper()
	var sh *client.Shape
	var refused *client.RequestError
	began := time.Now()
	w.until("shape "+want.def.Table+" WHERE "+want.def.Where+" is created", func() (bool, error) {
		ctx, cancel := context.WithTimeout(w.tb.Context(), requestTime)
		defer cancel()
		var err error
		sh, err = w.client.Create(ctx, want.def)
		if errors.As(err, &refused) && refused.Code == control.CodeBadRequest {
			return true, nil
		}
		return err == nil, err
	})
	w.asked++
	if sh == nil {
		w.refused++
		w.tb.Logf("refused: %s WHERE %s: %v", want.def.Table, want.def.Where, refused)
		return nil
	}
	for _, l := range w.shapes {
		if l.shape.Handle() == sh.Handle() {
			l.inner = l.inner || inner
			return l
		}
	}
	l := &living{kind: want.kind, def: want.def, shape: sh, inner: inner}
	w.shapes = append(w.shapes, l)
	w.note("%s shape %s after %s: %v of %s WHERE %s", want.kind, sh.Handle(), time.Since(began).Round(time.Millisecond), want.def.Columns, want.def.Table, want.def.Where)
	return l
}

// drop keeps the log of a shape as it is and has the shape deleted.
func (w *world) drop(i int) {
	w.tb.Helper()
	l := w.shapes[i]
	w.shapes = append(w.shapes[:i:i], w.shapes[i+1:]...)
	w.note("drop shape %s", l.shape.Handle())
	w.records = append(w.records, &Record{Kind: l.kind, Log: w.read(l)})
	w.until("shape "+l.shape.Handle()+" is deleted", func() (bool, error) {
		ctx, cancel := context.WithTimeout(w.tb.Context(), 10*time.Second)
		defer cancel()
		err := l.shape.Delete(ctx)
		return err == nil || errors.Is(err, client.ErrNotFound), err
	})
}

// read keeps the log of a shape as it is.
func (w *world) read(l *living) *logcheck.Log {
	w.tb.Helper()
	var log *logcheck.Log
	w.until("the log of shape "+l.describe()+" is read", func() (_ bool, err error) {
		ctx, cancel := context.WithTimeout(w.tb.Context(), 10*time.Minute) // as long as it comes nearer: it is read from its beginning
		defer cancel()
		log, err = logcheck.Read(ctx, w.js, w.source, l.shape.Info())
		if err == nil && w.archive != nil {
			err = w.archive.complete(log, w.source)
		}
		return err == nil, err
	})
	return log
}

// innerShapes adds the shapes that were made because a subquery selects from
// them and nobody asked for.
func (w *world) innerShapes() {
	w.tb.Helper()
	var all []control.Shape
	w.until("the shapes are listed", func() (_ bool, err error) {
		ctx, cancel := context.WithTimeout(w.tb.Context(), requestTime)
		defer cancel()
		all, err = w.client.List(ctx)
		return err == nil, err
	})
	// What the run's shapes depend on stays. The rest may be swept any time, and so may what only those need that are
	// about to end.
	needed, subqueries := map[string]bool{}, map[string][]string{}
	for _, info := range all {
		subqueries[info.Handle] = info.Subqueries
	}
	var need func(handle string)
	need = func(handle string) {
		for _, inner := range subqueries[handle] {
			needed[inner] = true
			need(inner)
		}
	}
	for _, l := range w.shapes {
		need(l.shape.Handle())
	}
	for _, info := range all {
		known := slices.ContainsFunc(w.shapes, func(l *living) bool { return l.shape.Handle() == info.Handle })
		if known || info.State == control.StateDeleting || info.State == control.StateEnded || info.Inner && !needed[info.Handle] {
			continue
		}
		var sh *client.Shape
		w.until("shape "+info.Handle+" is opened", func() (_ bool, err error) {
			ctx, cancel := context.WithTimeout(w.tb.Context(), requestTime)
			defer cancel()
			sh, err = w.client.Open(ctx, info.Handle)
			return err == nil || errors.Is(err, client.ErrNotFound), err
		})
		if sh == nil {
			continue // it has gone meanwhile
		}
		l := &living{shape: sh, inner: true, made: true}
		switch strings.Count(info.Where, "SELECT") {
		case 0:
		case 1:
			l.kind = Outer
		default:
			l.kind = Nested // or not: its clause is not taken apart here
		}
		w.shapes = append(w.shapes, l)
		w.tb.Logf("inner shape %s: %s.%s WHERE %s", info.Handle, info.Schema, info.Table, info.Where)
	}
}

// settle waits until all that is committed so far has been seen on every
// shape's behalf, in some runs after a restart of everything.
func (w *world) settle() {
	w.tb.Helper()
	if w.rng.IntN(2) == 0 {
		for _, s := range w.services {
			s.goOn()
			s.proc.Stop()
			w.expire(s)
			w.start(s, nil)
		}
	}
	floor := w.everywhere()
	lsn, err := pg.EmitBarrier(w.tb.Context(), w.db, topology.BarrierPrefix, "settle")
	if err != nil {
		w.tb.Fatal(err)
	}
	w.note("at rest")
	for _, l := range w.shapes {
		w.expect("shape "+l.describe()+" is at "+lsn.String(), func() (bool, error) {
			ctx, cancel := context.WithTimeout(w.tb.Context(), 10*time.Second)
			defer cancel()
			info, err := l.shape.Refresh(ctx)
			if err != nil {
				return false, err
			}
			if info.State == control.StateEnded {
				w.tb.Errorf("shape %s has ended: %s", l.describe(), info.Reason)
				return true, nil
			}
			w.look(lsn)
			return info.State == control.StateLive && info.Applied >= lsn, fmt.Errorf("it is %+v", info)
		})
	}
	w.atRest(floor)
}

// lookEvery is how often is looked whether any shape is further than before.
const lookEvery = 5 * time.Second

// look notes whether any shape that is not at an LSN yet is further than it was. Shapes wait for one another, those of a chain
// for minutes. Those that are there go on with whatever Postgres writes, and that says nothing.
func (w *world) look(lsn change.LSN) {
	w.tb.Helper()
	if time.Since(w.looked) < lookEvery {
		return
	}
	ctx, cancel := context.WithTimeout(w.tb.Context(), 10*time.Second)
	defer cancel()
	all, err := w.client.List(ctx)
	if w.looked = time.Now(); err != nil {
		w.tb.Logf("whether shapes come nearer is not known: %v", err)
		return
	}
	for _, info := range all {
		if info.State == control.StateLive && info.Applied >= lsn {
			continue
		}
		// In a long unit nothing but the log moves.
		at := max(info.Applied, info.Offset.LSN)
		if at > w.reached[info.Handle] || info.LogBytes > w.written[info.Handle] {
			w.reached[info.Handle], w.written[info.Handle], w.moved = max(at, w.reached[info.Handle]), info.LogBytes, w.looked
		}
	}
}

// sameHandles asks for every shape once more: nothing has happened that would
// make readers fetch again.
func (w *world) sameHandles() {
	w.tb.Helper()
	for _, l := range w.shapes {
		if l.made {
			continue
		}
		again, err := w.client.Create(w.tb.Context(), l.def)
		if err != nil {
			w.tb.Fatal(err)
		}
		if again.Handle() != l.shape.Handle() {
			w.tb.Errorf("shape %s is %s now: its readers have to fetch again", l.shape.Handle(), again.Handle())
		}
	}
}
