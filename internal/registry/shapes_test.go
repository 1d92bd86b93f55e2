package registry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
)

func TestRecordsReadAsTheyWereStored(t *testing.T) {
	ctx, _, shapes := open(t)
	s := record(id("a"))
	s.Reason, s.Structure, s.Snapshot, s.SnapshotLSN, s.StartLSN, s.StartSeq, s.SnapshotRows = "r", "d", "1:2:", 1<<64-1, 5, 6, 7
	s.Table = &pg.TableInfo{Relation: change.Relation{OID: 1<<32 - 1, Schema: "s", Name: "n", Identity: change.IdentityFull}, PrimaryKey: []string{"id"}}
	ok(t, shapes.Put(ctx, s))
	got, err := shapes.Get(ctx, id("a"))
	ok(t, err)
	if got.Revision() == 0 || got.Revision() != s.Revision() {
		t.Errorf("revision %d, stored as %d", got.Revision(), s.Revision())
	}
	if diff := cmp.Diff(s, got, cmpopts.IgnoreUnexported(registry.Shape{})); diff != "" {
		t.Errorf("stored and read (+): %s", diff)
	}
	for _, none := range []string{id("b"), "no key.*", "", "b", strings.Repeat("a", 4000)} {
		if _, err := shapes.Get(ctx, none); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("Get(%.40q): %v, want ErrNotFound", none, err)
		}
	}
}

func TestAllThatAreAskedForAreRead(t *testing.T) {
	ctx, js, shapes := open(t)
	var ids, want []string
	for i := range 1200 { // more than a request asks for
		id := id(fmt.Sprintf("s%04d", i))
		ids = append(ids, id)
		if i%100 == 7 { // never there
			continue
		}
		s := record(id)
		ok(t, shapes.Put(ctx, s))
		if i%100 == 8 {
			ok(t, shapes.Delete(ctx, s))
			continue
		}
		want = append(want, id)
	}
	kv, err := js.KeyValue(ctx, source.ShapeBucket())
	ok(t, err)
	_, err = kv.PutString(ctx, id("s0100"), "{")
	ok(t, err)
	want = slices.DeleteFunc(want, func(s string) bool { return s == id("s0100") })
	slices.Reverse(ids)
	slices.Reverse(want)
	all, err := shapes.GetAll(ctx, ids)
	ok(t, err)
	var got []string
	for _, s := range all {
		got = append(got, s.ID)
		if s.Revision() == 0 {
			t.Fatalf("shape %s has no revision", s.ID)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("wanted and read (+): %s", diff)
	}
	if all, err := shapes.GetAll(ctx, nil); len(all) > 0 || err != nil {
		t.Errorf("none asked for: %d shapes, %v", len(all), err)
	}
}

func TestRecordsThatAreReadShareTheirTables(t *testing.T) {
	ctx, _, shapes := open(t)
	table := func(name string) *pg.TableInfo {
		return &pg.TableInfo{Relation: change.Relation{OID: 1, Schema: "s", Name: name}, PrimaryKey: []string{"id"}}
	}
	var got []*registry.Shape
	for name, table := range map[string]*pg.TableInfo{"a": table("n"), "b": table("n"), "c": table("other"), "d": nil} {
		s := record(id(name))
		s.Table = table
		ok(t, shapes.Put(ctx, s))
	}
	for _, name := range []string{"a", "b", "c", "d"} {
		s, err := shapes.Get(ctx, id(name))
		ok(t, err)
		got = append(got, s)
	}
	if got[0].Table != got[1].Table || got[0].Table.Relation.Name != "n" || got[2].Table.Relation.Name != "other" || got[3].Table != nil {
		t.Errorf("tables %p %p %+v %p", got[0].Table, got[1].Table, got[2].Table, got[3].Table)
	}
}

func TestARecordThatSomebodyElseChangedIsNotOverwritten(t *testing.T) {
	ctx, _, shapes := open(t)
	mine := record(id("a"))
	ok(t, shapes.Put(ctx, mine))

	if err := shapes.Put(ctx, record(id("a"))); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("a second creation: %v, want ErrConflict", err)
	}
	theirs, err := shapes.Get(ctx, id("a"))
	ok(t, err)
	theirs.State = control.StateLive
	ok(t, shapes.Put(ctx, theirs))
	theirs.Reason = "and again, with the revision that Put left"
	ok(t, shapes.Put(ctx, theirs))

	mine.State = control.StateEnded
	if err := shapes.Put(ctx, mine); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("a stale change: %v, want ErrConflict", err)
	}
	if err := shapes.Delete(ctx, mine); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("a stale removal: %v, want ErrConflict", err)
	}
	if got, err := shapes.Get(ctx, id("a")); err != nil || got.State != control.StateLive {
		t.Errorf("the record is %+v, %v", got, err)
	}

	ok(t, shapes.Delete(ctx, theirs))
	if _, err := shapes.Get(ctx, id("a")); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("after Delete: %v, want ErrNotFound", err)
	}
	if err := shapes.Put(ctx, theirs); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("a change of a removed record: %v, want ErrConflict", err)
	}
	theirs.Fresh()
	ok(t, shapes.Put(ctx, theirs))
}

func TestANewLifeSucceedsTheOldOneOnce(t *testing.T) {
	ctx, _, shapes := open(t)
	old := record(id("a"))
	ok(t, shapes.Put(ctx, old))
	lives := []*registry.Shape{record(id("a")), record(id("a"))}
	for i, life := range lives {
		life.Handle = fmt.Sprintf("%s-%d", life.ID, i)
		life.Succeed(old)
	}
	ok(t, shapes.Put(ctx, lives[0]))
	if err := shapes.Put(ctx, lives[1]); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("two incarnations succeed one: %v, want ErrConflict", err)
	}
	if got, err := shapes.Get(ctx, id("a")); err != nil || got.Handle != id("a")+"-0" {
		t.Errorf("the record is %+v, %v", got, err)
	}
}

func TestChangesUnderContentionAreAllMade(t *testing.T) {
	ctx, _, shapes := open(t)
	ok(t, shapes.Put(ctx, record(id("a"))))
	const writers, each = 8, 10
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for range each {
				if _, err := shapes.Change(ctx, id("a"), func(s *registry.Shape) bool {
					s.SnapshotRows++
					return true
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	got, err := shapes.Get(ctx, id("a"))
	ok(t, err)
	if got.SnapshotRows != writers*each || got.Changed.IsZero() {
		t.Errorf("%d changes of %d were made, the last at %s", got.SnapshotRows, writers*each, got.Changed)
	}

	left, err := shapes.Change(ctx, id("a"), func(s *registry.Shape) bool {
		s.SnapshotRows = 0
		return false
	})
	ok(t, err)
	if again, err := shapes.Get(ctx, id("a")); err != nil || again.Revision() != got.Revision() || left.Revision() != got.Revision() {
		t.Errorf("a change that was declined was stored: %+v, %v", again, err)
	}
	if _, err := shapes.Change(ctx, id("none"), func(*registry.Shape) bool { return true }); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("%v, want ErrNotFound", err)
	}
}

func TestIDsAreSortedWithoutTheSourcesRecord(t *testing.T) {
	ctx, _, shapes := open(t)
	if ids, err := shapes.IDs(ctx); err != nil || len(ids) != 0 {
		t.Errorf("an empty bucket has the ids %v, %v", ids, err)
	}
	_, err := shapes.EnsureSource(ctx, registry.Source{Partitions: 8})
	ok(t, err)
	for _, name := range []string{"c", "a", "d", "b"} {
		ok(t, shapes.Put(ctx, record(id(name))))
	}
	d, err := shapes.Get(ctx, id("d"))
	ok(t, err)
	ok(t, shapes.Delete(ctx, d))
	if ids, err := shapes.IDs(ctx); err != nil || !slices.Equal(ids, []string{id("a"), id("b"), id("c")}) {
		t.Errorf("ids %v, %v", ids, err)
	}
}

func TestWatchTellsWhatIsThereThenWhatChanges(t *testing.T) {
	ctx, js, shapes := open(t)
	_, err := shapes.EnsureSource(ctx, registry.Source{Partitions: 8})
	ok(t, err)
	a := record(id("a"))
	ok(t, shapes.Put(ctx, a))
	ok(t, shapes.Put(ctx, record(id("b"))))

	watching, stop := context.WithCancel(ctx)
	defer stop()
	events, ended := make(chan string, 100), make(chan error, 1)
	go func() {
		ended <- shapes.Watch(watching, func(e registry.Event) {
			switch {
			case e.Err != nil:
				events <- e.ID + " unreadable"
			case e.Shape == nil:
				events <- e.ID + " removed"
			default:
				events <- fmt.Sprintf("%s %s %d", e.ID, e.Shape.State, e.Shape.Revision())
			}
		}, func() { events <- "loaded" })
	}()
	want := func(all ...string) {
		t.Helper()
		var got []string
		for range all {
			select {
			case e := <-events:
				got = append(got, e)
			case <-ctx.Done():
				t.Fatalf("got %q, want %q", got, all)
			}
		}
		if !slices.Equal(got, all) {
			t.Errorf("got %q, want %q", got, all)
		}
	}
	state := func(id string) string {
		s, err := shapes.Get(ctx, id)
		ok(t, err)
		return fmt.Sprintf("%s %s %d", s.ID, s.State, s.Revision())
	}
	want(state(id("a")), state(id("b")), "loaded")

	a.State = control.StateLive
	ok(t, shapes.Put(ctx, a))
	want(state(id("a")))
	ok(t, shapes.Delete(ctx, a))
	want(id("a") + " removed")
	a.Fresh()
	ok(t, shapes.Put(ctx, a))
	want(state(id("a")))

	kv, err := js.KeyValue(ctx, source.ShapeBucket())
	ok(t, err)
	_, err = kv.Put(ctx, id("c"), []byte("not JSON"))
	ok(t, err)
	want(id("c") + " unreadable")
	if _, err := shapes.Get(ctx, id("c")); err == nil || !strings.Contains(err.Error(), "shape "+id("c")) {
		t.Errorf("%v, want an error that names the shape", err)
	}

	stop()
	if err := <-ended; err != nil {
		t.Errorf("Watch ends with %v, want nil", err)
	}
	if len(events) != 0 {
		t.Errorf("then came %q", <-events)
	}
}

func TestTheSourceIsSetUpOnce(t *testing.T) {
	ctx, _, shapes := open(t)
	if _, err := shapes.Source(ctx); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("before: %v, want ErrNotFound", err)
	}
	want := registry.Source{Partitions: 8, Publication: "p", Slot: "s"}
	var group sync.WaitGroup
	for range 4 { // consumers start together
		group.Go(func() {
			if got, err := shapes.EnsureSource(ctx, want); err != nil || got != want {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	group.Wait()
	for _, c := range []struct {
		other registry.Source
		says  string
	}{
		{registry.Source{Partitions: 8, Publication: "q", Slot: "s"}, "publication p"},
		{registry.Source{Partitions: 8, Publication: "p", Slot: "z"}, "slot s"},
	} {
		if _, err := shapes.EnsureSource(ctx, c.other); !errors.Is(err, registry.ErrSetUpOtherwise) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want ErrSetUpOtherwise that says %q", c.other, err, c.says)
		}
	}
	for _, partitions := range []int{4, 32} { // that counts for a new source only
		if got, err := shapes.EnsureSource(ctx, registry.Source{Partitions: partitions, Publication: "p", Slot: "s"}); err != nil || got != want {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
	}
	if got, err := shapes.Source(ctx); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

func TestOpeningWithoutBucketsNamesThem(t *testing.T) {
	ctx, js, _ := open(t)
	other := topology.Source("other")
	if _, err := registry.OpenShapes(ctx, js, other); err == nil || !strings.Contains(err.Error(), other.ShapeBucket()) {
		t.Errorf("%v", err)
	}
	if _, err := registry.OpenRelations(ctx, js, other); err == nil || !strings.Contains(err.Error(), other.RelationBucket()) {
		t.Errorf("%v", err)
	}
	if _, err := registry.OpenHoldings(ctx, js, other, "worker"); err == nil || !strings.Contains(err.Error(), other.LeaseBucket()) {
		t.Errorf("%v", err)
	}
}
