package conns

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/follow"
)

// TestWhoHoldsASnapshotGoesOnInTheEnd: shapes of random depths hold a snapshot
// until one of the next lesser depth has had its own.
func TestWhoHoldsASnapshotGoesOnInTheEnd(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(r, "snapshots")
		depths := rapid.SliceOfN(rapid.IntRange(1, n), 1, 40).Draw(r, "depths")
		synctest.Test(t, func(t *testing.T) {
			l := newLadder(n)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			held, most, through := 0, 0, 0
			var hold func(depth int) error
			hold = func(depth int) error {
				give, err := l.take(ctx, depth)
				if err != nil {
					return err
				}
				defer give()
				l.mu.Lock()
				held++
				most = max(most, held)
				l.mu.Unlock()
				defer func() {
					l.mu.Lock()
					held--
					l.mu.Unlock()
				}()
				if depth > 1 {
					return hold(depth - 1) // as an inner shape, for which it waits
				}
				return nil
			}
			for _, d := range depths {
				go func() {
					if err := hold(d); err == nil {
						l.mu.Lock()
						through++
						l.mu.Unlock()
					}
				}()
			}
			synctest.Wait()
			if through != len(depths) || most > n || len(l.waiting) > 0 || l.left[0] != n {
				t.Errorf("%d of %d went through, at most %d of %d snapshots were held, %d wait, %d are left", through, len(depths), most, n, len(l.waiting), l.left[0])
			}
		})
	})
}

func TestWhoStopsWaitingForASnapshotTakesNone(t *testing.T) {
	l := newLadder(2)
	give, err := l.take(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	if _, err := l.take(ctx, 2); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
	if other, err := l.take(t.Context(), 1); err != nil { // is not behind the one who waited
		t.Error(err)
	} else {
		other()
	}
	give()
	give()
	if l.left[0] != 2 || l.left[1] != 1 || len(l.waiting) != 0 {
		t.Errorf("%v are left, %d wait", l.left, len(l.waiting))
	}
}

// TestManyDeepShapesDoNotMakeOthersWait: they wait for each other only.
func TestManyDeepShapesDoNotMakeOthersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLadder(3)
		ctx, cancel := context.WithCancel(t.Context())
		for range 20 {
			go func() {
				if give, err := l.take(ctx, 2); err == nil {
					<-ctx.Done()
					give()
				}
			}()
		}
		synctest.Wait()
		give, err := l.take(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		give()
		cancel()
	})
}

// TestEveryDepthOfSubqueriesHasASnapshot: no clause that is accepted is deeper
// than the ladders.
func TestEveryDepthOfSubqueriesHasASnapshot(t *testing.T) {
	table := &pg.TableInfo{Relation: change.Relation{OID: 1, Schema: "public", Name: "t", Columns: []change.Column{{Name: "id", Type: 23, TypeMod: -1}}}}
	where, deepest := "id > 0", 0
	for {
		pred, err := follow.Compile(where, nil, table, follow.Known([]*pg.TableInfo{table}))
		if err != nil {
			t.Logf("refused: %v", err)
			break
		}
		deepest = follow.Depth(pred)
		where = "id IN (SELECT id FROM t WHERE " + where + ")"
	}
	if deepest < 2 || deepest > MaxUnits || deepest > MaxFirstUnits {
		t.Errorf("clauses may be %d deep; %d and %d snapshots", deepest, MaxUnits, MaxFirstUnits)
	}
}
