package registry_test

import (
	"testing"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

func TestRelationsAreReadOnceAndKept(t *testing.T) {
	ctx, js, _ := open(t)
	_, err := source.EnsureChangeLog(ctx, js, topology.History{}, topology.ChangeLogConfig{MaxBytes: -1})
	ok(t, err)
	relations, err := registry.OpenRelations(ctx, js, source)
	ok(t, err)
	rel := &change.Relation{OID: 5, Schema: "public", Name: "tasks", Identity: change.IdentityFull, Columns: []change.Column{{Name: "id", Type: 20, TypeMod: -1}}}
	if _, err := relations.Get(ctx, rel.Fingerprint()); err == nil {
		t.Error("a schema is read that nobody stored")
	}

	kv, err := js.KeyValue(ctx, source.RelationBucket())
	ok(t, err)
	body, err := wire.EncodeRelation(rel)
	ok(t, err)
	_, err = kv.Put(ctx, rel.Fingerprint(), body)
	ok(t, err)
	first, err := relations.Get(ctx, rel.Fingerprint())
	ok(t, err)
	if first.Diff(rel) != "" || first.Fingerprint() != rel.Fingerprint() {
		t.Errorf("got %+v, want %+v", first, rel)
	}

	ok(t, kv.Delete(ctx, rel.Fingerprint()))
	if again, err := relations.Get(ctx, rel.Fingerprint()); err != nil || again != first {
		t.Errorf("the second reading: %+v, %v", again, err)
	}
	_, err = kv.Put(ctx, "ffff", []byte{9})
	ok(t, err)
	if _, err := relations.Get(ctx, "ffff"); err == nil {
		t.Error("a schema of another version is read")
	}
}
