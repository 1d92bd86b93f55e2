package value

import (
	"testing"

	"pgregory.net/rapid"
)

// What is taken as it is, is what a closer look makes of it.
func TestPlainRangesAreCanonical(t *testing.T) {
	plain := 0
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.StringMatching(`-?(0|[1-9][0-9]{0,6})(\.[0-9]{1,4})?|NaN|-?Infinity|`)
		text := rapid.SampledFrom([]string{"[", "("}).Draw(t, "opening") + number.Draw(t, "lower") + "," + number.Draw(t, "upper") +
			rapid.SampledFrom([]string{"]", ")"}).Draw(t, "closing")
		canonical, err := rangeText(NumRange, text)
		if err != nil || canonical == "empty" || canonical[0] != text[0] || canonical[len(canonical)-1] != text[len(text)-1] || negativeZero(text) {
			t.Skip("Postgres does not print this")
		}
		if !isPlainRange([]byte(text)) {
			return
		}
		plain++
		if got := string(CanonicalText(NumRange, []byte(text))); got != canonical {
			t.Fatalf("%s is taken as %s, want %s", text, got, canonical)
		}
	})
	if plain == 0 {
		t.Error("no range was plain")
	}
}

// negativeZero reports whether a bound is one, which Postgres prints without the sign.
func negativeZero(text string) bool {
	for i := 1; i < len(text); i++ {
		if text[i] != '-' {
			continue
		}
		zero := true
		for _, c := range text[i+1:] {
			if c == ',' || c == ']' || c == ')' {
				break
			}
			zero = zero && (c == '0' || c == '.')
		}
		if zero {
			return true
		}
	}
	return false
}

func BenchmarkCanonicalRange(b *testing.B) {
	cell := []byte("[1.5,22.25)")
	b.ReportAllocs()
	for b.Loop() {
		CanonicalText(NumRange, cell)
	}
}
