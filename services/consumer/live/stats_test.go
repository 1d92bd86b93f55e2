package live

import (
	"maps"
	"testing"
)

func TestFiguresByTableFollowItsName(t *testing.T) {
	var b ByTable
	for _, step := range []struct {
		oid   uint32
		table string
		n     int64
		want  map[string]int64
	}{
		{1, "public.a", 2, map[string]int64{"public.a": 2}},
		{2, "public.b", 1, map[string]int64{"public.a": 2, "public.b": 1}},
		{1, "public.c", 3, map[string]int64{"public.c": 3, "public.b": 1}}, // renamed
		{2, "public.b", 0, map[string]int64{"public.c": 3}},
	} {
		b.Set(step.oid, step.table, step.n)
		if got := b.Load(); !maps.Equal(got, step.want) {
			t.Errorf("after %+v: %v", step, got)
		}
	}
	if b.Clear(); len(b.Load()) != 0 {
		t.Errorf("after Clear: %v", b.Load())
	}
}
