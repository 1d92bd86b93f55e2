package predicate

import (
	"strings"
	"testing"
)

func TestILikeFoldsTextsThatAreLongerThanTheStackBuffer(t *testing.T) {
	p := compile(t, "t ilike '%NEEDLE%é'")
	hay := strings.Repeat("x", 10_000) + "nEEdle" + strings.Repeat("y", 10_000)
	row := make([][]byte, 20)
	for range 3 {
		row[9] = []byte(hay + "é")
		if !p.Match(row) {
			t.Fatal("no match")
		}
		row[9] = []byte(hay + "É")
		if p.Match(row) {
			t.Fatal("a letter outside ASCII was folded")
		}
	}
}
