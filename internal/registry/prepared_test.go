package registry_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/shapebus/shapebus/internal/pg/prepare"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/topology"
)

func TestWhatATableWasIsChangedByOneAtATime(t *testing.T) {
	ctx, js, _ := open(t)
	ok(t, source.EnsureRelations(ctx, js, 1))
	tables, err := registry.OpenPrepared(ctx, js, source)
	ok(t, err)
	if p, err := tables.Get(ctx, 7); p != nil || err != nil {
		t.Fatalf("what nobody stored: %+v, %v", p, err)
	}
	seen := make(chan *registry.Prepared, 10)
	ok(t, tables.Put(ctx, &registry.Prepared{Prior: prepare.Prior{OID: 1}}))
	go func() { _ = tables.Watch(ctx, func(_ string, p *registry.Prepared, _ error) { seen <- p }) }() // what is missing shows below
	next := func() *registry.Prepared {
		t.Helper()
		select {
		case p := <-seen:
			return p
		case <-ctx.Done():
			t.Fatal("nothing more is seen")
			return nil
		}
	}
	if p := next(); p == nil || p.OID != 1 { // now it watches
		t.Fatalf("watched at the start: %+v", p)
	}

	was := &registry.Prepared{Prior: prepare.Prior{
		OID: 7, Schema: "public", Name: "tasks", Added: true, Member: 9,
		Identities: []prepare.PriorIdentity{{OID: 7, Identity: "d"}, {OID: 8, Identity: "i", Index: 10}},
	}, Idle: time.UnixMicro(1700000000123456).UTC()}
	// A bucket keeps the last value of a key only: whoever does not look between two changes may not see the first.
	ok(t, tables.Put(ctx, was))
	if p := next(); p == nil || p.Leaving {
		t.Errorf("watched first: %+v", p)
	}
	one, err := tables.Get(ctx, 7)
	ok(t, err)
	two, err := tables.Get(ctx, 7)
	ok(t, err)
	if d := cmp.Diff(was, one, cmpopts.IgnoreUnexported(registry.Prepared{})); d != "" {
		t.Error(d)
	}
	one.Leaving = true
	ok(t, tables.Put(ctx, one))
	if p := next(); p == nil || !p.Leaving {
		t.Errorf("watched second: %+v", p)
	}
	for what, err := range map[string]error{
		"changed": tables.Put(ctx, two), "removed": tables.Delete(ctx, two), "made": tables.Put(ctx, &registry.Prepared{Prior: prepare.Prior{OID: 7}}),
	} {
		if !errors.Is(err, registry.ErrConflict) {
			t.Errorf("%s behind another one's back: %v", what, err)
		}
	}
	ok(t, tables.Delete(ctx, one))
	if p := next(); p != nil {
		t.Errorf("watched last: %+v", p)
	}
	ok(t, tables.Put(ctx, fresh(was)))

	kv, err := js.KeyValue(ctx, source.RelationBucket())
	ok(t, err)
	for _, body := range []string{"{", `{"oid": 6}`} {
		_, err = kv.PutString(ctx, topology.PreparedKey(5), body)
		ok(t, err)
		if p, err := tables.Get(ctx, 5); err == nil {
			t.Errorf("%s is read as %+v", body, p)
		}
	}
}

// fresh is a record like p that has not been stored.
func fresh(p *registry.Prepared) *registry.Prepared {
	return &registry.Prepared{Prior: p.Prior, Idle: p.Idle}
}
