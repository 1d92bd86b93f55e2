package valueset_test

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/internal/valueset"
)

func TestMayEqualIsEqualityOfWhatIsKnown(t *testing.T) {
	part := rapid.SampledFrom([][]byte{nil, {}, []byte("a"), []byte("b"), bytes.Repeat([]byte("x"), 200)})
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 4).Draw(t, "components")
		var a, b []byte
		want := true
		for range n {
			x, y := part.Draw(t, "x"), part.Draw(t, "y")
			a, b = valueset.AppendComponent(a, x), valueset.AppendComponent(b, y)
			want = want && (x == nil || y == nil || bytes.Equal(x, y))
		}
		if got := valueset.MayEqual(a, b); got != want || valueset.MayEqual(b, a) != want {
			t.Fatalf("%q and %q: %t, want %t", a, b, got, want)
		}
		if other := []byte(rapid.String().Draw(t, "no key")); !valueset.MayEqual(other, other) {
			t.Fatalf("%q is not equal to itself", other)
		}
	})
}
