package filter

import (
	"math/rand/v2"
	"slices"

	"github.com/shapebus/shapebus/internal/predicate/access"
)

// ranges finds the intervals of one column that hold a key. It is a treap in the order of the lower ends, with a bucket per
// distinct interval; each node knows the interval of its subtree that reaches furthest. Adding, removing and each interval found cost
// O(log n).
type ranges[S any] struct {
	x    *Index[S]
	key  access.Key
	root *node[S]
}

type node[S any] struct {
	bucket[S]

	ranges      *ranges[S]
	low, high   access.Bound
	priority    uint32 // not below that of the children
	left, right *node[S]
	furthest    *node[S] // in the subtree
}

func (x *Index[S]) makeRanges(key access.Key) *ranges[S] {
	for _, r := range x.ranges {
		if r.key == key {
			return r
		}
	}
	r := &ranges[S]{x: x, key: key}
	x.ranges = append(x.ranges, r)
	return r
}

// bucket returns the bucket of an interval and makes it if need be.
func (r *ranges[S]) bucket(low, high access.Bound) *bucket[S] {
	for n := r.root; n != nil; {
		switch c := n.compare(low, high); {
		case c == 0:
			return &n.bucket
		case c > 0:
			n = n.left
		default:
			n = n.right
		}
	}
	n := &node[S]{ranges: r, low: low, high: high, priority: rand.Uint32()}
	n.home = n
	n.furthest = n
	r.root = insert(r.root, n)
	return &n.bucket
}

// drop removes the node of an empty bucket, which is its own.
func (n *node[S]) drop(*bucket[S]) {
	r := n.ranges
	r.root = remove(r.root, n)
	if r.root == nil {
		r.x.ranges = slices.DeleteFunc(r.x.ranges, func(o *ranges[S]) bool { return o == r })
	}
}

func (n *node[S]) compare(low, high access.Bound) int {
	if c := access.CompareLow(n.low, low); c != 0 {
		return c
	}
	return access.CompareHigh(n.high, high)
}

func (n *node[S]) update() {
	n.furthest = n
	for _, child := range [...]*node[S]{n.left, n.right} {
		if child != nil && access.CompareHigh(child.furthest.high, n.furthest.high) > 0 {
			n.furthest = child.furthest
		}
	}
}

func insert[S any](at, n *node[S]) *node[S] {
	if at == nil {
		return n
	}
	if at.compare(n.low, n.high) > 0 {
		at.left = insert(at.left, n)
		if at.left.priority > at.priority {
			at = at.turnRight()
		}
	} else {
		at.right = insert(at.right, n)
		if at.right.priority > at.priority {
			at = at.turnLeft()
		}
	}
	at.update()
	return at
}

func (n *node[S]) turnRight() *node[S] {
	top := n.left
	n.left, top.right = top.right, n
	n.update()
	return top
}

func (n *node[S]) turnLeft() *node[S] {
	top := n.right
	n.right, top.left = top.left, n
	n.update()
	return top
}

func remove[S any](at, n *node[S]) *node[S] {
	switch c := at.compare(n.low, n.high); {
	case c == 0:
		return merge(at.left, at.right)
	case c > 0:
		at.left = remove(at.left, n)
	default:
		at.right = remove(at.right, n)
	}
	at.update()
	return at
}

// merge joins two trees of which the first lies before the second.
func merge[S any](a, b *node[S]) *node[S] {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.priority > b.priority:
		a.right = merge(a.right, b)
		a.update()
		return a
	default:
		b.left = merge(a, b.left)
		b.update()
		return b
	}
}

func (r *ranges[S]) find(x *Index[S], before, after [][]byte) {
	column := r.key.Column()
	was, is := cell(before, column), cell(after, column)
	if before != nil {
		r.stab(x, was)
	}
	if after != nil && (before == nil || !sameCell(was, is)) {
		r.stab(x, is)
	}
}

func (r *ranges[S]) stab(x *Index[S], cell []byte) {
	x.cell.Reset()
	r.key.AppendTo(&x.cell, cell)
	for i := range x.cell.Len() {
		r.root.stab(x, x.cell.At(i))
	}
}

// stab offers the intervals that hold a key.
func (n *node[S]) stab(x *Index[S], key []byte) {
	for n != nil && !endsBefore(n.furthest.high, key) {
		n.left.stab(x, key)
		if beginsAfter(n.low, key) {
			return // and so do all on the right
		}
		if !endsBefore(n.high, key) {
			x.offer(&n.bucket)
		}
		n = n.right
	}
}

func endsBefore(high access.Bound, key []byte) bool {
	return high.Set && (high.Value < string(key) || high.Exclusive && high.Value == string(key))
}

func beginsAfter(low access.Bound, key []byte) bool {
	return low.Set && (low.Value > string(key) || low.Exclusive && low.Value == string(key))
}
