package ownership

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// heldBy turns a plan into who holds what.
func heldBy(plan []string) map[int]string {
	held := map[int]string{}
	for p, m := range plan {
		held[p] = m
	}
	return held
}

// TestSharesAreEvenAndStay: everybody comes to the same plan, shares differ by one at most, and who comes or goes moves no
// more than it must.
func TestSharesAreEvenAndStay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		partitions := rapid.IntRange(1, 40).Draw(t, "partitions")
		name := rapid.StringMatching(`[a-z0-9-]{1,12}`)
		members := rapid.SliceOfNDistinct(name, 1, 7, rapid.ID[string]).Draw(t, "members")
		held := map[int]string{}
		for step := range rapid.IntRange(1, 6).Draw(t, "steps") {
			plan := Plan(members, partitions, held)
			reversed := slices.Clone(members)
			slices.Reverse(reversed)
			if again := Plan(reversed, partitions, maps.Clone(held)); !slices.Equal(plan, again) {
				t.Fatalf("in another order of members: %v and %v", plan, again)
			}
			count, had := map[string]int{}, map[string]int{}
			for p, m := range plan {
				if !slices.Contains(members, m) {
					t.Fatalf("partition %d belongs to %q", p, m)
				}
				count[m]++
				had[held[p]]++
			}
			least, most := partitions, 0
			for _, m := range members {
				least, most = min(least, count[m]), max(most, count[m])
			}
			if most-least > 1 {
				t.Fatalf("shares from %d to %d", least, most)
			}
			moved, must := 0, 0
			for p, m := range plan {
				if slices.Contains(members, held[p]) && held[p] != m {
					moved++
				}
			}
			// The members that have most keep the larger shares.
			larger := partitions % len(members)
			sizes := make([]int, 0, len(members))
			for _, m := range members {
				sizes = append(sizes, had[m])
			}
			slices.Sort(sizes)
			slices.Reverse(sizes)
			for i, n := range sizes {
				share := partitions / len(members)
				if i < larger {
					share++
				}
				must += max(0, n-share)
			}
			if moved != must {
				t.Fatalf("step %d: %d partitions move, %d must", step, moved, must)
			}
			if then := Plan(members, partitions, heldBy(plan)); !slices.Equal(then, plan) {
				t.Fatalf("a plan that is carried out changes: %v becomes %v", plan, then)
			}
			held = heldBy(plan)
			if rapid.Bool().Draw(t, "grows") {
				partitions += rapid.IntRange(1, 40).Draw(t, "more")
				then := Plan(members, partitions, held)
				for p, m := range held {
					if then[p] != m {
						t.Fatalf("the source grows to %d partitions, and partition %d moves from %s to %s", partitions, p, m, then[p])
					}
				}
			}
			switch {
			case len(members) > 1 && rapid.Bool().Draw(t, "goes"):
				i := rapid.IntRange(0, len(members)-1).Draw(t, "who")
				members = slices.Delete(slices.Clone(members), i, i+1)
			default:
				if m := name.Draw(t, "comes"); !slices.Contains(members, m) {
					members = append(slices.Clone(members), m)
				}
			}
		}
	})
	if plan := Plan(nil, 3, map[int]string{1: "gone"}); slices.ContainsFunc(plan, func(m string) bool { return m != "" }) {
		t.Errorf("without members: %v", plan)
	}
}

// TestTheFirstPlanIsSpread: with nothing held, rendezvous hashing gives different processes different partitions.
func TestTheFirstPlanIsSpread(t *testing.T) {
	zero := map[string]bool{}
	for n := range 50 {
		zero[Plan([]string{fmt.Sprint("a", n), fmt.Sprint("b", n), fmt.Sprint("c", n)}, 8, nil)[0][:1]] = true
	}
	if len(zero) != 3 {
		t.Errorf("partition 0 belongs to %v only", zero)
	}
}
