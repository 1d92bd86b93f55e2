package group

import (
	"testing"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
)

// What a group may need again stays in the change log, and nobody takes its logs for further than they are.
func TestWhereAGroupStands(t *testing.T) {
	at := changelog.Place{LSN: 100, Seq: 10}
	deferred := []reconcile.Txn{{LSN: 80, First: 7}, {LSN: 90, First: 8}}
	standing := func(at changelog.Place, deferred []reconcile.Txn) *stage {
		st := &stage{g: &group{}}
		st.stand(at, deferred)
		return st
	}
	told := func(st *stage) *stage {
		st.shared = true
		return st
	}
	for _, tt := range []struct {
		name  string
		st    *stage
		floor changelog.Place
		ok    bool
		known change.LSN
	}{
		{"it has not chosen a place", &stage{g: &group{}}, changelog.Place{LSN: 1, Seq: 1}, false, 0},
		{"it has all up to its place", standing(at, nil), changelog.Place{LSN: 101, Seq: 11}, true, 100},
		{"but what is deferred", standing(at, deferred), changelog.Place{LSN: 80, Seq: 7}, true, 99},
		{"though others were told it has, which then waits for a unit", told(standing(at, deferred)), changelog.Place{LSN: 80, Seq: 7}, true, 100},
	} {
		floor, ok := tt.st.floor()
		if floor != tt.floor || ok != tt.ok || tt.st.known() != tt.known {
			t.Errorf("%s: floor %+v, %t, known to %s", tt.name, floor, ok, tt.st.known())
		}
	}
}
