package reconcile_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/shapebus/shapebus/internal/valueset"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
)

const (
	null = "\x00"
	one  = "\x021"
	two  = "\x022"
)

// deltas are what a transaction changes in a set.
type deltas map[string]int64

func (d deltas) all(yield func(key []byte, n int64) bool) {
	for k, n := range d {
		if !yield([]byte(k), n) {
			return
		}
	}
}

// nothing is a clause that is never asked.
type nothing struct{}

func (nothing) Match(change.Row, []reconcile.Members) bool { return false }

func (nothing) Key(_ int, key []byte, _ change.Row) []byte { return key }

func TestWhatPutsRowsInQuestion(t *testing.T) {
	for _, c := range []struct {
		name     string
		subquery reconcile.Subquery
		was      []string
		deltas   []deltas
		values   []string
		every    bool
	}{
		{name: "a value that comes", was: []string{one}, deltas: []deltas{{two: 1}}, values: []string{two}},
		{name: "a value that came before", was: []string{one}, deltas: []deltas{{one: 1}}},
		{name: "a value that goes with its last row", was: []string{one, one, two}, deltas: []deltas{{one: -1}, {one: -1}}, values: []string{one}},
		{name: "a value that goes and comes back", was: []string{one, two}, deltas: []deltas{{one: -1}, {one: 1}}, values: []string{one}},
		{name: "NULL that comes", was: []string{one}, deltas: []deltas{{null: 1}}, every: true},
		{name: "NULL that comes, under no NOT", subquery: reconcile.Subquery{Monotone: true}, was: []string{one}, deltas: []deltas{{null: 1}}},
		{name: "the last value that goes", was: []string{one}, deltas: []deltas{{one: -1}}, values: []string{one}, every: true},
		{name: "the last value that goes, under no NOT", subquery: reconcile.Subquery{Monotone: true}, was: []string{one}, deltas: []deltas{{one: -1}}, values: []string{one}},
		{name: "one value for another", was: []string{one}, deltas: []deltas{{one: -1, two: 1}}, values: []string{one, two}},
		{name: "empty in between", was: []string{one}, deltas: []deltas{{one: -1}, {two: 1}}, values: []string{one, two}, every: true},
		{name: "a tuple", subquery: reconcile.Subquery{Tuple: true}, was: []string{one + one}, deltas: []deltas{{one + two: 1}}, values: []string{one + two}, every: true},
		{name: "a tuple with NULL", subquery: reconcile.Subquery{Tuple: true}, was: []string{one + null}, deltas: []deltas{{two + null: 1}}, every: true},
		{name: "a tuple, under no NOT", subquery: reconcile.Subquery{Tuple: true, Monotone: true}, was: []string{one + one}, deltas: []deltas{{one + two: 1, one + null: 1}}, values: []string{one + two}},
	} {
		t.Run(c.name, func(t *testing.T) {
			view := valueset.NewView(&valueset.Set{})
			for _, v := range c.was {
				view.Add([]byte(v), 1)
			}
			set := reconcile.Freeze(view)
			m := (&reconcile.Shape{Clause: nothing{}, Subqueries: []reconcile.Subquery{c.subquery}}).Join([]*reconcile.Set{set})
			for _, d := range c.deltas {
				set.Add(d.all)
			}
			values, every := m.Changed(0)
			var got []string
			for v := range values {
				got = append(got, string(v))
			}
			if slices.Sort(got); !slices.Equal(got, c.values) || every != c.every {
				t.Errorf("values %q, every row %t; want %q, %t", got, every, c.values, c.every)
			}
			if want := len(c.values) > 0 || c.every; m.Concerned() != want {
				t.Errorf("concerned is %t", !want)
			}
		})
	}
}

func TestChangesIsAboutMembership(t *testing.T) {
	view := valueset.NewView(&valueset.Set{})
	view.Add([]byte(one), 2)
	stage := reconcile.Stage{Views: []*valueset.View{view}}
	opens := func(d ...deltas) bool {
		var verdicts []reconcile.Deltas
		for _, d := range d {
			verdicts = append(verdicts, d.all)
		}
		return stage.Bring(reconcile.Txn{LSN: 1}, [][]reconcile.Deltas{verdicts})
	}
	if opens() || opens(deltas{one: -1}) {
		t.Error("a row of two goes: its value stays")
	}
	if !opens(deltas{one: 5, two: 1}) {
		t.Error("a value comes")
	}
	if !opens(deltas{one: -1}) {
		t.Error("a value goes")
	}
	if !opens(deltas{one: -1}, deltas{one: 1}) {
		t.Error("a value goes and comes again")
	}
	members := map[string]bool{}
	view.Each(func(k []byte) bool { members[string(k)] = true; return true })
	if !maps.Equal(members, map[string]bool{one: true}) || !view.Has([]byte(one)) {
		t.Errorf("members %v", members)
	}
}
