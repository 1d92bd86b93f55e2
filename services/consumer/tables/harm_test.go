package tables

import (
	"testing"
	"time"

	"github.com/shapebus/shapebus/internal/pg/prepare"
	"github.com/shapebus/shapebus/internal/registry"
)

func TestWhoseHarmItIs(t *testing.T) {
	const table, leaf, newLeaf = 1, 2, 3
	prepared := &registry.Prepared{Prior: prepare.Prior{OID: table, Added: true, Identities: []prepare.PriorIdentity{{OID: table, Identity: "d"}, {OID: leaf, Identity: "n"}}}}
	added := &registry.Prepared{Prior: prepare.Prior{OID: table, Added: true}} // it was FULL before
	full := &registry.Prepared{Prior: prepare.Prior{OID: table, Identities: prepared.Identities}}
	list := func(leaf uint32) []prepare.Harm {
		return []prepare.Harm{{Table: table, Leaf: leaf, Publication: "other", Kind: prepare.HarmColumnList}}
	}
	without := func(leaf uint32) []prepare.Harm {
		return []prepare.Harm{{Table: table, Leaf: leaf, Publication: "ours", Kind: prepare.HarmNoIdentity}}
	}
	virtual := []prepare.Harm{{Table: table, Leaf: leaf, Publication: "ours", Kind: prepare.HarmVirtual}}
	for _, c := range []struct {
		name      string
		p         *registry.Prepared
		harms     []prepare.Harm
		ours, new bool
	}{
		{"a column list where the identity was changed", prepared, list(leaf), true, false},
		{"a column list where it was full before", added, list(leaf), false, false},
		{"a column list of a leaf that came full", prepared, list(newLeaf), false, false},
		{"a table of which nothing is known", nil, list(table), false, false},
		{"a virtual column where it was full before", added, virtual, true, false},
		{"a virtual column where it was in the publication before", full, virtual, true, false},
		{"a new leaf", prepared, without(newLeaf), true, true},
		{"a new leaf of a table of which nothing is known", nil, without(newLeaf), false, true},
		{"a leaf whose identity a person took away", prepared, without(leaf), true, false},
		{"a table whose identity a person took away", prepared, without(table), true, false},
		{"the same where it was in the publication before", full, without(table), false, false},
		{"two kinds", prepared, append(without(newLeaf), list(leaf)...), true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := ours(c.p, c.harms, "ours"); got != c.ours {
				t.Errorf("ours: %t", got)
			}
			if got := onlyNewLeaves(c.p, table, c.harms); got != c.new {
				t.Errorf("of new leaves only: %t", got)
			}
		})
	}
}

func TestWhenATableIsGivenBack(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for _, c := range []struct {
		name string
		idle time.Duration // for how long it has been noted as idle; 0 for not at all
		used bool
		want idleStep
	}{
		{"in use", 0, true, idleNothing},
		{"in use again", time.Second, true, idleForget},
		{"in use again at the last moment", time.Hour, true, idleForget},
		{"not in use any more", 0, false, idleNote},
		{"within the grace", time.Hour - 1, false, idleNothing},
		{"after it", time.Hour, false, idleGiveBack},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &registry.Prepared{}
			if c.idle > 0 {
				p.Idle = now.Add(-c.idle)
			}
			if got := stepOf(p, c.used, time.Hour, now); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
		})
	}
}
