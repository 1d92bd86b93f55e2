package main

import (
	"math"
	"testing"
)

func TestASlopeIsThatOfTheLastTwoThirds(t *testing.T) {
	var c course
	if c.slope() != 0 || c.last() != 0 {
		t.Error("nothing has a slope")
	}
	for i := range 30 {
		at := float64(i) / 6
		value := 100 + 2*at
		if i < 10 {
			value = 50 * at // warming up
		}
		c.add(at, value+math.Mod(float64(i), 2)/1000)
	}
	if got := c.slope(); math.Abs(got-2) > 0.01 {
		t.Errorf("slope %f, want 2", got)
	}
}
