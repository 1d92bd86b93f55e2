package ownership

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
)

// Plan shares partitions among members, who are named and in any order: it returns whose each one is, "" for all if
// there are no members. Shares differ by one at most. held says who has which now; what a member has stays
// with it as far as its share allows, and of what it must give and what is free, rendezvous hashing decides, so
// that everybody comes to the same result.
func Plan(members []string, partitions int, held map[int]string) []string {
	plan := make([]string, partitions)
	if len(members) == 0 {
		return plan
	}
	has := map[string][]int{}
	for p := range partitions {
		if who := held[p]; slices.Contains(members, who) {
			has[who] = append(has[who], p)
		}
	}
	// Those that have most keep the shares that are larger by one.
	members = slices.Clone(members)
	slices.SortFunc(members, func(a, b string) int {
		if d := len(has[b]) - len(has[a]); d != 0 {
			return d
		}
		return compare(score(0, b), score(0, a), a, b)
	})
	share := map[string]int{}
	for i, m := range members {
		share[m] = partitions / len(members)
		if i < partitions%len(members) {
			share[m]++
		}
	}
	for _, m := range members {
		keeps := has[m]
		slices.SortFunc(keeps, func(p, q int) int { return compare(score(q, m), score(p, m), p, q) })
		for _, p := range keeps[:min(len(keeps), share[m])] {
			plan[p] = m
			share[m]--
		}
	}
	for p := range plan {
		if plan[p] != "" {
			continue
		}
		best := ""
		for _, m := range members {
			if share[m] > 0 && (best == "" || compare(score(p, m), score(p, best), best, m) > 0) {
				best = m
			}
		}
		plan[p] = best
		share[best]--
	}
	return plan
}

// score is how well a partition and a member go together.
func score(partition int, member string) uint64 {
	h := sha256.Sum256([]byte(strconv.Itoa(partition) + "/" + member))
	return binary.BigEndian.Uint64(h[:])
}

// compare compares scores, and names where they are equal.
func compare[T int | string](a, b uint64, x, y T) int {
	switch {
	case a != b && a < b, a == b && x < y:
		return -1
	case a == b && x == y:
		return 0
	}
	return 1
}
