package oracle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
	"github.com/shapebus/shapebus/pkg/topology"
)

// killPostgres kills the whole server and starts it again.
func (w *world) killPostgres() {
	w.tb.Helper()
	if err := w.pg.Kill(); err != nil {
		w.tb.Fatal(err)
	}
	if err := w.pg.Restart(w.tb.Context()); err != nil {
		w.tb.Fatal(err)
	}
	w.db = w.connect()
	w.note("Postgres was killed")
}

// soon waits for a random time, which is the point of it.
func (w *world) soon(upTo time.Duration) { pause(w.tb.Context(), w.rng, upTo) }

// still lets the materializer stand still while something happens.
func (w *world) still(t *traffic) {
	w.tb.Helper()
	s := w.service("materializer")
	if s == nil {
		return
	}
	w.note("the materializer stands still")
	s.pause()
	w.few(t)
	w.want()
	w.want()
	w.soon([]time.Duration{time.Second, 4 * time.Second}[w.rng.IntN(2)])
	if w.rng.IntN(2) == 0 {
		w.crash(w.service("consumer"))
		w.soon(2 * time.Second)
	}
	s.goOn()
	w.note("the materializer goes on")
}

func (s *service) pause() { s.signal(syscall.SIGSTOP) }
func (s *service) goOn()  { s.signal(syscall.SIGCONT) }

func (s *service) signal(sig syscall.Signal) {
	s.proc.Signal(sig) // nothing happens if it has died at a failpoint
}

// service is one of the processes of a kind; nil if there is none.
func (w *world) service(name string) *service {
	var all []*service
	for _, s := range w.services {
		if s.name == name {
			all = append(all, s)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[w.rng.IntN(len(all))]
}

// freeze lets a process that shares the partitions stand still, for less time than the others need to miss it or for more.
func (w *world) freeze(t *traffic) {
	w.tb.Helper()
	s := w.services[1+w.rng.IntN(len(w.services)-1)]
	w.note("a %s is frozen", s.name)
	s.pause()
	w.few(t)
	w.want()
	w.soon([]time.Duration{2 * time.Second, 7 * time.Second}[w.rng.IntN(2)])
	s.goOn()
	w.note("the %s goes on", s.name)
}

// visit has one more consumer come, and go again.
func (w *world) visit(t *traffic) {
	w.tb.Helper()
	s := w.service("consumer").another()
	w.start(s, nil)
	w.soon(2 * time.Second)
	w.few(t)
	w.want()
	if w.rng.IntN(2) == 0 {
		s.proc.Kill()
		w.note("the visitor was killed")
		return
	}
	s.proc.Stop()
	w.note("the visitor was told to stop")
}

// few has many small changes committed, one by one, in a table that subqueries
// select from.
func (w *world) few(t *traffic) {
	w.tb.Helper()
	n := []int{50, 300, 1500}[w.rng.IntN(3)]
	load := &workload{rng: w.rng, schema: w.schema}
	table := load.togglable()
	if len(w.inner) > 0 && w.rng.IntN(4) > 0 {
		table = w.inner[w.rng.IntN(len(w.inner))]
	}
	if table == w.locked {
		return
	}
	script := load.toggles(table, n)
	if w.rng.IntN(3) == 0 {
		n, script = 1, load.revoke(table)
	}
	began := time.Now()
	conn := t.session(w.tb.Context(), nil)
	if conn == nil {
		return
	}
	defer closeConn(w.tb.Context(), conn)
	t.run(w.tb.Context(), conn, script)
	w.note("%d small changes in %s, in %s", n, table.SQL(), time.Since(began).Round(time.Millisecond))
}

// outer is the table of a shape with subqueries, and those that it selects
// from besides; nil if there is no such shape.
func (w *world) outer() (outer *Table, inner []*Table) {
	var all []*living
	for _, l := range w.shapes {
		if l.kind != Plain && !l.made {
			all = append(all, l)
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	l := all[w.rng.IntN(len(all))]
	outer = w.table(l.def.Table)
	for _, t := range w.schema.Tables {
		if t != outer && l.knows(t) && t.column(RoleFlag) != "" {
			inner = append(inner, t)
		}
	}
	return outer, inner
}

func (w *world) table(sql string) *Table {
	i := slices.IndexFunc(w.schema.Tables, func(t *Table) bool { return t.SQL() == sql })
	return w.schema.Tables[i]
}

// hold locks an outer table, so that whoever reads it for a snapshot or a unit
// has to wait, while the inner tables change and services come and go. In the
// end the table itself may be changed too, before anybody gets to read it.
func (w *world) hold(t *traffic) {
	w.tb.Helper()
	if w.rng.IntN(2) == 0 {
		w.want()
	}
	table, inner := w.outer()
	if table == nil {
		return
	}
	conn, err := w.dial(w.tb.Context())
	if err != nil {
		return
	}
	defer closeConn(w.tb.Context(), conn)
	if !w.try(conn, "BEGIN; SET LOCAL lock_timeout = '2s'; LOCK TABLE "+table.SQL()+" IN ACCESS EXCLUSIVE MODE;") {
		return
	}
	w.locked, w.inner = table, inner
	defer func() { w.locked, w.inner = nil, nil }()
	w.note("%s is locked", table.SQL())
	w.soon(500 * time.Millisecond)
	for range w.rng.IntN(4) {
		w.few(t)
		w.soon(500 * time.Millisecond)
	}
	if w.plan.has(refills) && w.rng.IntN(2) == 0 {
		w.refill()
	}
	switch w.rng.IntN(4) {
	case 0, 1:
		w.crash(w.service("consumer"))
		w.soon(2 * time.Second)
	case 2:
		if s := w.service("materializer"); s != nil {
			w.crash(s)
			w.soon(time.Second)
		}
	}
	if w.rng.IntN(2) == 0 {
		w.few(t)
		w.soon(time.Second)
	}
	switch {
	case w.plan.has(ddl) && w.rng.IntN(3) == 0:
		w.alter(conn, table)
	case w.plan.has(refills) && w.rng.IntN(2) == 0:
		if w.try(conn, w.refilling(table)) {
			w.note("%s was refilled under the lock", table.SQL())
		}
	}
	w.try(conn, "COMMIT")
	w.note("%s is free again", table.SQL())
	w.allEnd()
}

// try runs a script; what fails is rolled back.
func (w *world) try(conn *pgx.Conn, script string) bool {
	w.tb.Helper()
	ctx := context.WithoutCancel(w.tb.Context())
	if _, err := conn.PgConn().Exec(ctx, script).ReadAll(); err != nil {
		w.tb.Logf("failed: %.100s…: %v", script, err)
		_, _ = conn.PgConn().Exec(ctx, "ROLLBACK").ReadAll() // a broken connection is not used again
		return false
	}
	return true
}

// refill truncates a table, with those that refer to it, and fills them with
// the rows that were there: nothing has changed, but snapshots from before see
// an empty table.
func (w *world) refill() {
	w.tb.Helper()
	table := w.schema.Tables[w.rng.IntN(len(w.schema.Tables))]
	if w.locked != nil && slices.Contains(w.dependents(table), w.locked) {
		return
	}
	conn, err := w.dial(w.tb.Context())
	if err != nil {
		return
	}
	defer closeConn(w.tb.Context(), conn)
	if w.try(conn, "BEGIN; SET LOCAL lock_timeout = '2s';"+w.refilling(table)+"COMMIT;") {
		w.note("%s was refilled", table.SQL())
	}
}

// dependents are a table and those that refer to it, the first first.
func (w *world) dependents(t *Table) []*Table {
	out := []*Table{t}
	for i := 0; i < len(out); i++ {
		for _, o := range w.schema.Tables {
			if strings.Contains(o.Foreign, "REFERENCES "+out[i].SQL()+" ") && !slices.Contains(out, o) {
				out = append(out, o)
			}
		}
	}
	return out
}

func (w *world) refilling(t *Table) string {
	var lock []string
	var keep, fill strings.Builder
	for i, o := range w.dependents(t) {
		lock = append(lock, o.SQL())
		fmt.Fprintf(&keep, "CREATE TEMP TABLE kept%d ON COMMIT DROP AS TABLE %s;", i, o.SQL())
		fmt.Fprintf(&fill, "INSERT INTO %s TABLE kept%d;", o.SQL(), i)
	}
	all := strings.Join(lock, ", ")
	return "LOCK TABLE " + all + " IN ACCESS EXCLUSIVE MODE;" + keep.String() + "TRUNCATE " + all + ";" + fill.String()
}

// making has a shape made while a table that it selects from is refilled.
func (w *world) making(t *traffic) {
	w.tb.Helper()
	w.want()
	w.soon(30 * time.Millisecond)
	if w.plan.has(refills) && (!w.plan.has(locks) || w.rng.IntN(3) == 0) {
		w.refill()
		return
	}
	w.hold(t)
}

// afresh deletes a shape with subqueries and makes it again, within the time
// that its inner shapes stay or after it.
func (w *world) afresh(t *traffic) {
	w.tb.Helper()
	var some []int
	for i, l := range w.shapes {
		if l.kind != Plain && !l.inner && !l.made {
			some = append(some, i)
		}
	}
	if len(some) == 0 {
		return
	}
	i := some[w.rng.IntN(len(some))]
	l := w.shapes[i]
	w.drop(i)
	if w.rng.IntN(2) == 0 {
		w.soon(6 * time.Second)
	}
	if w.rng.IntN(2) == 0 {
		w.few(t)
	}
	w.ask(wish{kind: l.kind, def: l.def}, false)
}

// dropAll drops what all shapes depend on: they end, and are made again by
// whoever wants them.
func (w *world) dropAll(t *traffic) {
	w.tb.Helper()
	if outer, _ := w.outer(); outer == nil || len(w.shapes) < 4 || w.droppedAll == 3 {
		return
	}
	if !w.created() { // one that begins behind the drop goes on
		w.note("nothing is dropped: not all shapes have been created")
		return
	}
	w.droppedAll++
	defer w.allEnd()
	if w.rng.IntN(3) > 0 { // under traffic, few shapes with subqueries are with the main loop
		t.gate.Lock()
		defer t.gate.Unlock() // ingest learns of it by a change
		w.calm()
	}
	w.finish("everything is dropped", func(*living) bool { return true })
	if w.rng.IntN(2) == 0 {
		w.exec("DROP PUBLICATION IF EXISTS " + pg.Ident(w.source.Publication()))
		w.note("the publication was dropped")
	} else {
		w.until("the slot is dropped", func() (bool, error) {
			ctx, cancel := context.WithTimeout(w.tb.Context(), 10*time.Second)
			defer cancel()
			err := pgtest.FreeSlot(ctx, w.db, w.source.Slot())
			if err == nil { // ingest may be back before this, and then another time will do
				_, err = w.db.Exec(ctx, "SELECT pg_drop_replication_slot($1)", w.source.Slot())
			}
			return err == nil, err
		})
		w.note("the slot was dropped")
	}
}

// created waits until all shapes have begun, if that comes soon.
func (w *world) created() bool {
	w.tb.Helper()
	return w.await(10*time.Second, func() (bool, error) {
		ctx, cancel := context.WithTimeout(w.tb.Context(), 5*time.Second)
		defer cancel()
		all, err := w.client.List(ctx)
		return err == nil && !slices.ContainsFunc(all, func(info control.Shape) bool { return info.State == control.StateCreating }), err
	}) == nil
}

// calm waits until all shapes have seen everything, if that comes soon.
func (w *world) calm() {
	w.tb.Helper()
	lsn, err := pg.EmitBarrier(w.tb.Context(), w.db, topology.BarrierPrefix, "calm")
	if err != nil {
		w.tb.Fatal(err)
	}
	err = w.await(10*time.Second, func() (bool, error) {
		ctx, cancel := context.WithTimeout(w.tb.Context(), 5*time.Second)
		defer cancel()
		all, err := w.client.List(ctx)
		for _, info := range all {
			if info.State == control.StateCreating || info.State == control.StateLive && info.Applied < lsn {
				return false, nil
			}
		}
		return err == nil, err
	})
	w.note("calm: %t", err == nil)
}

// finish keeps the logs of shapes as they are, of which each must end before long.
func (w *world) finish(why string, which func(*living) bool) {
	w.tb.Helper()
	var left []*living
	for _, l := range w.shapes {
		if !which(l) {
			left = append(left, l)
			continue
		}
		w.records = append(w.records, &Record{Kind: l.kind, Log: w.read(l)})
		l.mustEnd = why
		w.ending = append(w.ending, l)
	}
	w.shapes = left
}

// crowd asks for many shapes that differ a little.
func (w *world) crowd() {
	w.tb.Helper()
	n := []int{25, 60, 120}[w.rng.IntN(3)]
	if w.plan.short {
		n = 25
	}
	if w.crowded += n; w.crowded > 250 || w.plan.short && w.crowded > n {
		return
	}
	levels := []int{0, 1, 2}[w.rng.IntN(3)]
	if w.crowded == n {
		levels = 2 // nested ones need most of each other
	}
	if !w.subqueries {
		levels = 0
	}
	base := w.clauses.shape(levels)
	for range 20 {
		if base.def.Where != "" && base.kind == Kind(levels) {
			break
		}
		base = w.clauses.shape(levels)
	}
	columns := w.table(base.def.Table).Columns
	number := columns[slices.IndexFunc(columns, func(c Column) bool { return c.Type == "int" })]
	for i := range n {
		one := base
		one.def.Where = fmt.Sprintf("%s IS DISTINCT FROM %d", pg.Ident(number.Name), i)
		if base.def.Where != "" {
			one.def.Where = "(" + base.def.Where + ") AND " + one.def.Where
		}
		if w.ask(one, false) == nil {
			return
		}
	}
	w.note("%d shapes were asked for that differ a little", n)
}
