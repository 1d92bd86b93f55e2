package plane

import (
	"testing"

	"github.com/shapebus/shapebus/pkg/control"
)

func TestTheDearestShapesOfAllConsumers(t *testing.T) {
	const a, b, c = "00000000000000aa-1", "00000000000000bb-1", "00000000000000cc-1"
	all := []Costs{
		{Name: "x", Seconds: 100, Nanoseconds: 50e9, Bytes: 1000, Shapes: []Cost{{a, 30e9, 10}, {b, 10e9, 900}, {"no handle > *", 99e9, 9e9}}},
		{Name: "y", Seconds: 50, Nanoseconds: 10e9, Bytes: 500, Shapes: []Cost{{c, 5e9, 0}, {b, 5e9, 50}}},
		{Name: "has just begun"},
	}
	got := dearest(all, "", 2)
	if got.Seconds != 50 || got.CPU != 0.7 || got.BytesPerSecond != 20 || len(got.Shapes) != 2 {
		t.Fatalf("%+v", got)
	}
	if s := got.Shapes[0]; s.Handle != a || s.CPU != 0.3 || s.BytesPerSecond != 0.1 {
		t.Errorf("%+v", s)
	}
	if s := got.Shapes[1]; s.Handle != b || s.CPU != 0.2 || s.BytesPerSecond != 10 {
		t.Errorf("%+v", s)
	}
	if got := dearest(all, control.TopBytes, 9); len(got.Shapes) != 3 || got.Shapes[0].Handle != b || got.Shapes[2].Handle != c {
		t.Errorf("%+v", got)
	}
	if got := dearest(nil, "", 9); got.Shapes == nil || len(got.Shapes) != 0 {
		t.Errorf("%+v", got)
	}
}
