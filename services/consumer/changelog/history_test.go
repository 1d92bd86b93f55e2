package changelog

import (
	"testing"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
)

func TestOnlyAKnownOtherHistoryIsForeign(t *testing.T) {
	for _, tt := range []struct {
		log, id string
		want    bool
	}{
		{"a", "b", true}, {"a", "a", false}, {"a", "", false}, {"", "a", false}, {"", "", false},
	} {
		l := &Log{history: topology.History{ID: tt.log}}
		if got := l.Foreign(tt.id); got != tt.want {
			t.Errorf("%q in the history %q: foreign %t", tt.id, tt.log, got)
		}
	}
}

func TestATransactionIsWholeWithTheLastFragmentOfItsLastTable(t *testing.T) {
	for _, tt := range []struct {
		name   string
		table  uint32
		last   bool
		tables []uint32
		want   bool
	}{
		{"more of the table follows", 7, false, nil, false},
		{"it touched one table", 7, true, []uint32{7}, true},
		{"another table follows", 7, true, []uint32{7, 9}, false},
		{"the other one ends", 9, true, []uint32{7, 9}, true},
		{"it does not tell its tables", 7, true, nil, true},
	} {
		if got := Completes(tt.table, &change.Fragment{Last: tt.last, Tables: tt.tables}); got != tt.want {
			t.Errorf("%s: whole %t", tt.name, got)
		}
	}
}
