package client

import (
	"testing"
	"time"
)

func TestParametersAreWrittenAsPostgresReadsThem(t *testing.T) {
	def := Definition{Params: []any{
		"a", 1, true, 1.5, float32(0.1), []string{"a b", `"`}, []int64{1, 2}, []bool{}, time.Date(2024, 2, 29, 23, 30, 0, 5e8, time.FixedZone("", 3600)), nil, []string(nil),
	}}
	req, err := def.request()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"a", "1", "true", "1.5", "0.1", `{"a b","\""}`, `{"1","2"}`, "{}", "2024-02-29T22:30:00.5Z", "NULL", "NULL"}
	for i, p := range req.Params {
		if p == nil {
			p = new("NULL")
		}
		if *p != want[i] {
			t.Errorf("$%d is %s, want %s", i+1, *p, want[i])
		}
	}
	if _, err := (Definition{Params: []any{struct{}{}}}).request(); err == nil {
		t.Error("a struct is taken for a parameter")
	}
}

// TestWhatIsNoTextIsNotSent: JSON has the replacement character for it, and a shape of another clause would be made.
func TestWhatIsNoTextIsNotSent(t *testing.T) {
	for _, def := range []Definition{
		{Table: "t\xff"}, {Table: "t", Columns: []string{"id", "a\xff"}}, {Table: "t", Where: "a = '\xff'"}, {Table: "t", Where: "a = $1", Params: []any{"\xff"}},
	} {
		if _, err := def.request(); err == nil {
			t.Errorf("%+q is sent", def)
		}
	}
}
