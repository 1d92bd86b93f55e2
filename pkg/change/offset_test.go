package change_test

import (
	"cmp"
	"encoding/json"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/pkg/change"
)

// offsets draws from few values and the extremes, so that equal LSNs are common.
func offsets() *rapid.Generator[change.Offset] {
	number := rapid.OneOf(rapid.Uint64Range(0, 3), rapid.Uint64())
	return rapid.Custom(func(t *rapid.T) change.Offset {
		return change.Offset{LSN: change.LSN(number.Draw(t, "lsn")), Op: number.Draw(t, "op")}
	})
}

func TestOffsetReadsWhatItPrints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := offsets().Draw(t, "offset")
		got, err := change.ParseOffset(want.String())
		if err != nil || got != want {
			t.Fatalf("%#v prints as %s, which reads as %#v, %v", want, want, got, err)
		}
		type holder struct {
			At change.Offset `json:"at"`
		}
		data, err := json.Marshal(holder{want})
		if err != nil {
			t.Fatal(err)
		}
		var h holder
		if err := json.Unmarshal(data, &h); err != nil || h.At != want {
			t.Fatalf("%s reads as %s, %v", data, h.At, err)
		}
	})
}

func TestParseOffsetRefusesOtherForms(t *testing.T) {
	for _, text := range []string{"", "_", "1", "1_", "_1", "-1_0", "1_-1", "1_2_3", "0/1_0", "1_x", " 1_0", "1_0 ", "18446744073709551616_0", "0_18446744073709551616"} {
		if got, err := change.ParseOffset(text); err == nil {
			t.Errorf("ParseOffset(%q) = %s, want an error", text, got)
		}
		kept := change.Offset{LSN: 7, Op: 8}
		if err := kept.UnmarshalText([]byte(text)); err == nil || kept != (change.Offset{LSN: 7, Op: 8}) {
			t.Errorf("UnmarshalText(%q) left %s, %v; want an error and the offset as it was", text, kept, err)
		}
	}
}

func TestOffsetsAreOrderedByLSNThenOp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o, p := offsets().Draw(t, "o"), offsets().Draw(t, "p")
		want := slices.Compare([]uint64{uint64(o.LSN), o.Op}, []uint64{uint64(p.LSN), p.Op})
		if got := cmp.Compare(o.Compare(p), 0); got != want {
			t.Fatalf("%s compares to %s as %d, want %d", o, p, got, want)
		}
		if o.Before(p) != (want < 0) || p.Before(o) != (want > 0) {
			t.Fatalf("Before disagrees with Compare on %s and %s", o, p)
		}
		if (change.Offset{}).Compare(o) > 0 || o.IsZero() != (o == change.Offset{}) {
			t.Fatalf("the initial snapshot's place must come before %s", o)
		}
	})
}
