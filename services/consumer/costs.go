package consumer

import (
	"time"

	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/plane"
)

// costs are what the shapes here cost of late: those that are among the most dear in one respect, with what they cost in each.
func (c *Consumer) costs(most int) plane.Costs {
	const all = 1 << 20
	now := time.Now()
	cpu, cpuTotal, over := c.stats.CPU.Top(all, now)
	grown, grownTotal, grownOver := c.stats.Growth.Top(all, now)
	out := plane.Costs{Name: c.cfg.Name, Seconds: max(over, grownOver).Seconds(), Nanoseconds: cpuTotal, Bytes: grownTotal}
	byHandle := map[string]*plane.Cost{}
	of := func(s live.Share) *plane.Cost {
		if byHandle[s.Handle] == nil {
			byHandle[s.Handle] = &plane.Cost{Handle: s.Handle}
		}
		return byHandle[s.Handle]
	}
	for _, s := range cpu {
		of(s).Nanoseconds = s.Amount
	}
	for _, s := range grown {
		of(s).Bytes = s.Amount
	}
	told := map[string]bool{}
	for _, list := range [][]live.Share{cpu, grown} {
		for _, s := range list[:min(most, len(list))] {
			if !told[s.Handle] {
				told[s.Handle] = true
				out.Shapes = append(out.Shapes, *byHandle[s.Handle])
			}
		}
	}
	return out
}
