package valuesets

import (
	"math"
	"slices"
	"sort"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// Chain is verdicts on one set without a gap: all there are in (from, through].
// The zero value has none and takes any as its first.
type Chain struct {
	begun         bool
	from, through change.Offset
	verdicts      []*wire.Verdict // ascending
}

// Add adds the next verdict; after is the offset of the one before it. One that
// is there is passed over. It returns false, and adds nothing, where one is missing in between.
func (c *Chain) Add(v *wire.Verdict, after change.Offset) bool {
	switch {
	case !c.begun:
		c.begun, c.from = true, after
	case !c.through.Before(v.Offset):
		return true
	case c.through.Before(after):
		return false
	}
	c.through = v.Offset
	c.verdicts = append(c.verdicts, v)
	return true
}

// Begin says that there are none up to a place, unless some have been added.
func (c *Chain) Begin(at change.Offset) {
	if !c.begun {
		c.begun, c.from, c.through = true, at, at
	}
}

// Through is the last verdict's offset.
func (c *Chain) Through() change.Offset { return c.through }

// covers says whether every verdict in (lo, hi] is there.
func (c *Chain) covers(lo, hi change.Offset) Answer {
	switch {
	case !lo.Before(hi):
		return Known
	case c.begun && lo.Before(c.from):
		return Gone
	case c.begun && !c.through.Before(hi):
		return Known
	}
	return Wait
}

// on returns the verdicts on a commit. They are the caller's, who may still go through them when others trim the chain.
func (c *Chain) on(lsn change.LSN) []*wire.Verdict {
	i := c.behind(lsn - 1)
	return slices.Clone(c.verdicts[i:max(i, c.behind(lsn))])
}

// behind is the index of the first verdict behind a commit.
func (c *Chain) behind(lsn change.LSN) int {
	return sort.Search(len(c.verdicts), func(i int) bool { return c.verdicts[i].Offset.LSN > lsn })
}

// trim drops the first n verdicts.
func (c *Chain) trim(n int) {
	if n == 0 {
		return
	}
	c.from = c.verdicts[n-1].Offset
	c.verdicts = slices.Delete(c.verdicts, 0, n)
}

// after is the place behind everything that a commit brings.
func after(lsn change.LSN) change.Offset { return change.Offset{LSN: lsn, Op: math.MaxUint64} }
