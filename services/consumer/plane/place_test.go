package plane

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
	"github.com/shapebus/shapebus/pkg/shape"
	"github.com/shapebus/shapebus/pkg/topology"
)

// TestAChainStaysInOnePartitionWhenTheSourceGrows: an inner shape that was made when there were fewer partitions is not where
// its name would put it now, so those who are there get a copy.
func TestAChainStaysInOnePartitionWhenTheSourceGrows(t *testing.T) {
	if testing.Short() {
		t.Skip("needs JetStream; not in -short")
	}
	const source, few, many = topology.Source("main"), 2, 32
	nc, err := natstest.Start(t).Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err == nil {
		err = source.EnsureRegistry(t.Context(), js, 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	shapes, err := registry.OpenShapes(t.Context(), js, source)
	if err != nil {
		t.Fatal(err)
	}
	def := shape.Definition{Schema: "public", Table: "tasks", Columns: []string{"id"}}
	const clause = "project IN (SELECT id FROM projects)"
	id := def.ID(clause)
	old, now := shape.Partition(id, few), shape.Partition(id, many)
	if old == now {
		t.Fatalf("shape %s is in partition %d of %d and of %d; the test needs another", id, old, few, many)
	}
	p := &server{cfg: Config{Shapes: shapes, Partitions: registry.NewPartitions(many)}}
	leaf := []registry.Subquery{{ID: "537a3e845a2479ab", Handle: "537a3e845a2479ab-1", Partition: 7}}
	place := func(in int) (string, int) {
		t.Helper()
		id, partition, err := p.place(t.Context(), def, clause, leaf, in)
		if err != nil {
			t.Fatal(err)
		}
		return id, partition
	}
	if where, partition := place(now); where != id || partition != now {
		t.Errorf("before it is there: %s in %d, want %s in %d", where, partition, id, now)
	}
	rec := &registry.Shape{
		ID: id, Handle: id + "-1", Partition: old, Definition: def, State: control.StateLive, Subqueries: leaf,
		Table: &pg.TableInfo{Relation: change.Relation{Schema: "public", Name: "tasks"}},
	}
	if err := shapes.Put(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	if where, partition := place(anywhere); where != id || partition != now { // register finds the one that is there
		t.Errorf("where it likes: %s in %d", where, partition)
	}
	if where, partition := place(now); where == id || partition != now {
		t.Errorf("for those in partition %d: %s in %d, want a copy there", now, where, partition)
	}
	if where, partition := place(old); where != id || partition != old {
		t.Errorf("for those in partition %d: %s in %d, want the one that is there", old, where, partition)
	}
	rec.State = control.StateEnded
	if err := shapes.Put(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	if where, partition := place(now); where != id || partition != now {
		t.Errorf("when it has ended: %s in %d, want %s in %d", where, partition, id, now)
	}
}
