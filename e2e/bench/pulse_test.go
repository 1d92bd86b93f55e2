package main

import (
	"testing"
	"time"
)

func TestASilenceIsTheLongestPause(t *testing.T) {
	since := time.Unix(1000, 0)
	at := func(ms ...int) (times []time.Time) {
		for _, m := range ms {
			times = append(times, since.Add(time.Duration(m)*time.Millisecond))
		}
		return times
	}
	every := func(from, to int) (ms []int) {
		for m := from; m <= to; m += 100 {
			ms = append(ms, m)
		}
		return ms
	}
	for _, c := range []struct {
		name           string
		at             []int
		now            int
		longest, ended int
		over           bool
	}{
		{"nothing has come", nil, 4000, 4000, 4000, false},
		{"it has just come again", []int{-10, 3000}, 3100, 3000, 3000, false},
		{"it comes again", every(3000, 5000), 5000, 3000, 3000, true},
		{"it pauses again", append(every(3000, 4900), 8000), 8100, 3100, 8000, false},
		{"there was none", every(-500, 3000), 3050, 100, 100, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			longest, ended, over := silence(at(c.at...), since, at(c.now)[0])
			if longest.Milliseconds() != int64(c.longest) || over != c.over || over && c.longest > 100 && !ended.Equal(at(c.ended)[0]) {
				t.Errorf("%s until %s, over %t; want %d ms, %d, %t", longest, ended.Sub(since), over, c.longest, c.ended, c.over)
			}
		})
	}
}
