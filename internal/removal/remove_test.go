package removal_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/dbtest"
	"github.com/shapebus/shapebus/internal/pg/prepare"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/removal"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
	"github.com/shapebus/shapebus/pkg/topology"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

const (
	source      = topology.Source("left")
	publication = "left_p"
	slot        = "left_s"
)

func ok(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// used is a source with two tables that were made ready, as services leave it.
func used(t *testing.T) (context.Context, jetstream.JetStream, *pgx.Conn) {
	t.Helper()
	url := pgtest.Database(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	conn := dbtest.Dial(t, url)
	_, js := natstest.Conn(t)
	ok(t, source.EnsureRegistry(ctx, js, 1))
	ok(t, source.EnsureRelations(ctx, js, 1))
	ok(t, source.EnsureMembers(ctx, js, 1))
	ok(t, source.EnsureShapeLogs(ctx, js, 2, topology.ShapeLogConfig{}))
	shapes, err := registry.OpenShapes(ctx, js, source)
	ok(t, err)
	_, err = shapes.EnsureSource(ctx, registry.Source{Partitions: 2, Publication: publication, Slot: slot})
	ok(t, err)
	dbtest.Script(t, conn, "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)")
	ok(t, prepare.EnsurePublication(ctx, conn, publication))
	prepared, err := registry.OpenPrepared(ctx, js, source)
	ok(t, err)
	for _, name := range []string{"a", "b"} {
		info := dbtest.Lookup(t, conn, "public", name, publication)
		prior, now, err := prepare.PriorTo(ctx, conn, publication, info, nil)
		ok(t, err)
		ok(t, prepared.Put(ctx, &registry.Prepared{Prior: *prior}))
		_, err = prepare.EnsureTable(ctx, conn, publication, now, 0)
		ok(t, err)
	}
	return ctx, js, conn
}

// look is removal.Look with names that only a source without a record would need.
func look(ctx context.Context, t *testing.T, js jetstream.JetStream, conn *pgx.Conn) *removal.Inventory {
	t.Helper()
	inv, err := removal.Look(ctx, js, conn, source, publication, "another")
	ok(t, err)
	return inv
}

func streams(ctx context.Context, t *testing.T, js jetstream.JetStream) (names []string) {
	t.Helper()
	l := js.StreamNames(ctx)
	for n := range l.Name() {
		names = append(names, n)
	}
	ok(t, l.Err())
	return names
}

// TestATableThatCannotBeGivenBackKeepsTheSource cuts a removal short: what was a table is not forgotten before it is that
// again, and the next attempt does the rest.
func TestATableThatCannotBeGivenBackKeepsTheSource(t *testing.T) {
	t.Parallel()
	ctx, js, conn := used(t)
	dbtest.Exec(t, conn, "CREATE PUBLICATION others FOR TABLE b")
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "CHANGES-left-1", Subjects: []string{"mine"}}) // of a source left-1
	ok(t, err)
	before := len(streams(ctx, t, js))

	cfg := conn.Config().Copy()
	other, err := pgx.ConnectConfig(ctx, cfg)
	ok(t, err)
	defer other.Close(ctx)
	tx, err := other.Begin(ctx)
	ok(t, err)
	_, err = tx.Exec(ctx, "LOCK TABLE a IN ACCESS SHARE MODE")
	ok(t, err)

	inv := look(ctx, t, js, conn)
	if inv.Slot != slot || len(inv.Tables) != 2 || len(inv.Running) != 0 || inv.Empty() {
		t.Fatalf("%+v", inv)
	}
	var done, left []string
	remove := func() error {
		done, left = nil, nil
		return look(ctx, t, js, conn).Remove(ctx, 100*time.Millisecond, func(s string) { done = append(done, s) }, func(s string) { left = append(left, s) })
	}
	if err := remove(); err == nil || !strings.Contains(err.Error(), "1 of 2 tables") {
		t.Fatalf("%v", err)
	}
	if len(done) != 1 || !strings.Contains(done[0], "public.b") {
		t.Errorf("done: %q", done)
	}
	if !slices.ContainsFunc(left, func(s string) bool { return strings.Contains(s, "public.a") && strings.Contains(s, "in use by other") }) {
		t.Errorf("left: %q", left)
	}
	if n := len(streams(ctx, t, js)); n != before {
		t.Errorf("%d streams, %d before", n, before)
	}

	ok(t, tx.Rollback(ctx))
	ok(t, remove())
	if got := streams(ctx, t, js); !slices.Equal(got, []string{"CHANGES-left-1"}) {
		t.Errorf("streams that are left: %q", got)
	}
	for _, name := range []string{"a", "b"} {
		if info := dbtest.Lookup(t, conn, "public", name, publication); info.Relation.Identity != 'd' {
			t.Errorf("table %s has identity %c", name, info.Relation.Identity)
		}
	}
	if pub, err := prepare.LookupPublication(ctx, conn, publication); err != nil || pub != nil {
		t.Errorf("publication %+v, %v", pub, err)
	}
	if again := look(ctx, t, js, conn); !again.Empty() {
		t.Errorf("left: %+v", again)
	}
}

// TestAPublicationThatOthersUseStays does not take what somebody else has put there.
func TestAPublicationThatOthersUseStays(t *testing.T) {
	t.Parallel()
	ctx, js, conn := used(t)
	dbtest.Script(t, conn, "CREATE TABLE c (id int PRIMARY KEY); ALTER PUBLICATION "+pg.Ident(publication)+" ADD TABLE c")
	var left []string
	ok(t, look(ctx, t, js, conn).Remove(ctx, 0, func(string) {}, func(s string) { left = append(left, s) }))
	if len(left) != 1 || !strings.Contains(left[0], `DROP PUBLICATION "left_p"`) {
		t.Errorf("left: %q", left)
	}
	if pub, err := prepare.LookupPublication(ctx, conn, publication); err != nil || pub == nil {
		t.Errorf("publication %+v, %v", pub, err)
	}
	if n := len(streams(ctx, t, js)); n != 0 {
		t.Errorf("%d streams are left", n)
	}
}

// TestASourceInUseIsNotRemoved tells a process that is there from one that has died a moment ago.
func TestASourceInUseIsNotRemoved(t *testing.T) {
	t.Parallel()
	ctx, js, conn := used(t)
	_, err := js.Publish(ctx, "$KV."+source.MemberBucket()+".consumer.dead", []byte("dead x")) // and a server that does not drop it
	ok(t, err)
	members, err := registry.OpenMembers(ctx, js, source)
	ok(t, err)
	holding, end := context.WithCancel(ctx)
	joined, held := make(chan struct{}), make(chan error, 1)
	go func() {
		held <- members.Hold(holding, topology.RoleMaterializer, registry.NewMember("m"), nil, func() { close(joined) })
	}()
	<-joined
	inv := look(ctx, t, js, conn)
	if !slices.Equal(inv.Running, []string{"materializer.m"}) {
		t.Errorf("at work: %q", inv.Running)
	}
	before := len(streams(ctx, t, js))
	err = inv.Remove(ctx, 0, func(string) {}, func(string) {})
	if err == nil || !strings.Contains(err.Error(), "materializer.m") || len(streams(ctx, t, js)) != before {
		t.Errorf("%v", err)
	}
	end()
	if err := <-held; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if inv := look(ctx, t, js, conn); len(inv.Running) != 0 {
		t.Errorf("at work: %q", inv.Running)
	}
}

// TestASourceIsNotRemovedWithAnotherDatabase keeps the names in NATS by which a person finds the slot that still keeps WAL.
func TestASourceIsNotRemovedWithAnotherDatabase(t *testing.T) {
	t.Parallel()
	ctx, js, conn := used(t)
	here, err := pg.Identify(ctx, conn.PgConn())
	ok(t, err)
	kv, err := js.KeyValue(ctx, source.RelationBucket())
	ok(t, err)
	for name, c := range map[string]struct {
		record string
		says   []string // nil: it is this database
	}{
		"another cluster":                   {`{"system_id": "4711", "database": "app", "slot": "left_s"}`, []string{"4711", here.SystemID, "--keep-postgres"}},
		"another cluster, older version":    {`{"system_id": "4711", "slot": "left_s"}`, []string{"4711", here.SystemID, "--keep-postgres"}},
		"another database of the cluster":   {fmt.Sprintf(`{"system_id": %q, "database": "app"}`, here.SystemID), []string{`"app"`, here.Name, "--keep-postgres"}},
		"this one":                          {fmt.Sprintf(`{"system_id": %q, "database": %q}`, here.SystemID, here.Name), nil},
		"this one, of an older version":     {fmt.Sprintf(`{"system_id": %q}`, here.SystemID), nil},
		"a source that waits after a reset": {`{"system_id": "", "begins": true}`, nil},
	} {
		_, err := kv.PutString(ctx, topology.IngestKey, c.record)
		ok(t, err)
		_, err = removal.Look(ctx, js, conn, source, publication, slot)
		if (err != nil) != (c.says != nil) {
			t.Errorf("%s: %v", name, err)
		}
		for _, part := range c.says {
			if !strings.Contains(fmt.Sprint(err), part) {
				t.Errorf("%s: %v: %q is missing", name, err, part)
			}
		}
		_, err = removal.Look(ctx, js, nil, source, publication, slot)
		ok(t, err)
	}
}
