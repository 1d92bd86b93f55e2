package registry_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/registry"
)

// TestAListingLacksNoRecordThatChangesMeanwhile lists the records while some of them are stored again and again: such a record is
// not where it was when the listing began.
func TestAListingLacksNoRecordThatChangesMeanwhile(t *testing.T) {
	opened, _, shapes := open(t)
	const many, busy = 60, 4
	for i := range many {
		ok(t, shapes.Put(opened, record(id(fmt.Sprint(i)))))
	}
	ctx, stop := context.WithCancel(opened)
	defer stop()
	var w sync.WaitGroup
	for i := range busy {
		w.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				_, err := shapes.Change(context.WithoutCancel(ctx), id(fmt.Sprint(many-1-i)), func(s *registry.Shape) bool {
					s.SnapshotRows = int64(n)
					return true
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := range 100 {
		listing, enough := context.WithCancel(opened)
		seen, loaded := map[string]bool{}, false
		err := shapes.Watch(listing, func(e registry.Event) {
			if !loaded && e.Shape != nil {
				seen[e.ID] = true
			}
		}, func() { loaded = true; enough() })
		ok(t, err)
		ids, err := shapes.IDs(opened)
		ok(t, err)
		if len(seen) != many || len(ids) != many {
			t.Errorf("listing %d has %d and %d of %d records", n, len(seen), len(ids), many)
			break
		}
	}
	stop()
	w.Wait()
}

// TestAListingOfABucketThatRestsIsThereAtOnce, also where what was stored last has gone, as the tombstones of shapes go: who takes a
// partition over waits for it.
func TestAListingOfABucketThatRestsIsThereAtOnce(t *testing.T) {
	ctx, js, shapes := open(t)
	for i := range 3 {
		ok(t, shapes.Put(ctx, record(id(fmt.Sprint(i)))))
	}
	kv, err := js.KeyValue(ctx, source.ShapeBucket())
	ok(t, err)
	st, err := js.Stream(ctx, "KV_"+kv.Bucket())
	ok(t, err)
	ok(t, st.Purge(ctx, jetstream.WithPurgeSubject("$KV."+kv.Bucket()+"."+id("2"))))
	listing, enough := context.WithCancel(ctx)
	seen, began := 0, time.Now()
	ok(t, shapes.Watch(listing, func(registry.Event) { seen++ }, enough))
	if took := time.Since(began); seen != 2 || took > registry.ListingSilence/2 {
		t.Errorf("a listing of 2 records has %d after %s", seen, took)
	}
}
