package follow

import (
	"math"
	"testing"
)

// Shapes that are offered one after the other, always in the same order, are told apart by what they cost.
func TestTheMeterSharesTheCostRightly(t *testing.T) {
	now, spent := int64(0), [64]float64{}
	told := [64]float64{}
	m := &Meter{Clock: func() int64 { return now }, Spent: func(handle string, ns float64) { told[handle[0]] += ns }}
	for range 20_000 {
		for shape := range spent {
			cost, dear := int64(100), false
			switch shape {
			case 7:
				cost = 3000
			case 9:
				cost, dear = 1_000_000, true
			}
			weight, began := m.begin(dear)
			now += cost
			m.end(string(rune(shape)), weight, began)
			spent[shape] += float64(cost)
		}
	}
	for shape, want := range spent {
		allowed := 0.5
		if shape == 7 {
			allowed = 0.2
		}
		if shape == 9 {
			allowed = 0
		}
		if got := told[shape]; math.Abs(got-want) > allowed*want {
			t.Errorf("shape %d cost %.0f, the meter says %.0f", shape, want, got)
		}
	}
	var none *Meter
	none.end("x", 0, 0)
	if w, _ := none.begin(true); w != 0 {
		t.Error("without a meter something is measured")
	}
}
