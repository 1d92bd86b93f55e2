package wire_test

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

func TestTailsReadAsTheyWereWritten(t *testing.T) {
	offset := rapid.Custom(func(t *rapid.T) change.Offset {
		return change.Offset{LSN: change.LSN(numbers().Draw(t, "lsn")), Op: numbers().Draw(t, "op")}
	})
	rapid.Check(t, func(t *rapid.T) {
		want := wire.Tail{
			Last: offset.Draw(t, "last"), Committed: offset.Draw(t, "committed"),
			Began: rapid.Bool().Draw(t, "began"), Ended: rapid.Bool().Draw(t, "ended"),
			Rows: rapid.Int64().Draw(t, "rows"), CommittedRows: rapid.Int64().Draw(t, "committed rows"), Bytes: rapid.Int64().Draw(t, "bytes"),
		}
		want.Began = want.Began || want.Ended
		deferred := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) change.LSN { return change.LSN(numbers().Draw(t, "lsn")) }), 0, 3).Draw(t, "deferred")
		want.Deferred = wire.FormatDeferred(deferred)
		if got, err := wire.ParseDeferred(want.Deferred); err != nil || !slices.Equal(got, deferred) {
			t.Fatalf("%v prints as %q, which reads as %v, %v", deferred, want.Deferred, got, err)
		}
		got, err := wire.ParseTail(want.String())
		if err != nil || got != want {
			t.Fatalf("%+v prints as %q, which reads as %+v, %v", want, want, got, err)
		}
		if got.Open() != (want.Last.Compare(want.Committed) != 0) {
			t.Fatalf("tail %s is open: %t", got, got.Open())
		}
	})
}

func TestParseTailRefusesOtherForms(t *testing.T) {
	for _, text := range []string{
		"", "0_0", "0_0 0_0 new 0 0", "0_0 0_0 new 0 0 0 7,x", "0_0 0_0 new 0 0 0 ", " 0_0 0_0 new 0 0 0", "0_0  0_0 new 0 0 0", "0_0\t0_0 new 0 0 0",
		"0 0_0 new 0 0 0", "0_0 0 new 0 0 0", "0_0 0_0 old 0 0 0", "0_0 0_0 New 0 0 0", "0_0 0_0 new x 0 0", "0_0 0_0 new 0 0 9223372036854775808", "0_0 0_0 new 0 0 0\n",
	} {
		if got, err := wire.ParseTail(text); !errors.Is(err, wire.ErrCorrupt) {
			t.Errorf("ParseTail(%q) = %s, %v; want ErrCorrupt", text, got, err)
		}
	}
}
