package registry_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

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
