package main

import (
	"testing"
	"time"
)

// TestFoldsAreToldZero gives 0, which a Config takes for its default, to what says when logs are folded.
func TestFoldsAreToldZero(t *testing.T) {
	c := consumerTuning{Folds: 2}.config(1)
	if c.FoldFactor >= 0 || c.FoldLeast != 1 || c.FoldGrace != 1 {
		t.Errorf("factor %v, least %d, grace %s: want never, a byte and no time", c.FoldFactor, c.FoldLeast, c.FoldGrace)
	}
	c = consumerTuning{FoldFactor: 3, FoldLeast: 7, FoldGrace: time.Minute}.config(1)
	if c.FoldFactor != 3 || c.FoldLeast != 7 || c.FoldGrace != time.Minute {
		t.Errorf("factor %v, least %d, grace %s: want 3, 7 bytes and a minute", c.FoldFactor, c.FoldLeast, c.FoldGrace)
	}
}
