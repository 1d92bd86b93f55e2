package change_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/pkg/change"
)

func TestParseLSN(t *testing.T) {
	for _, c := range []struct {
		text string
		want change.LSN
	}{
		{"0/0", 0},
		{"16/B374D848", 0x16_B374D848},
		{"16/b374d848", 0x16_B374D848},
		{"0/1", 1},
		{"1/0", 1 << 32},
		{"FFFFFFFF/FFFFFFFF", 1<<64 - 1},
	} {
		got, err := change.ParseLSN(c.text)
		if err != nil || got != c.want {
			t.Errorf("ParseLSN(%q) = %d, %v; want %d", c.text, got, err, c.want)
		}
	}
	for _, text := range []string{"", "/", "16", "16/", "/B374D848", "16/B374D848/0", "1_6/0", "-1/0", "0x16/0", "16/G", "100000000/0", "0/100000000", " 0/1"} {
		if got, err := change.ParseLSN(text); err == nil {
			t.Errorf("ParseLSN(%q) = %d, want an error", text, got)
		}
	}
}

func TestLSNReadsWhatItPrints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := change.LSN(rapid.Uint64().Draw(t, "lsn"))
		got, err := change.ParseLSN(want.String())
		if err != nil || got != want {
			t.Fatalf("%d prints as %s, which reads as %d, %v", uint64(want), want, uint64(got), err)
		}
		if got.IsZero() != (want == 0) {
			t.Fatalf("%s.IsZero() = %t", got, got.IsZero())
		}
	})
}
