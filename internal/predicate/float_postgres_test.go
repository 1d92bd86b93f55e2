package predicate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// Postgres prints no float with digits that are midway between it and the next one, where others are shortest.
func TestFloatsArePrintedAsPostgresPrintsThem(t *testing.T) {
	conn := connect(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 3))
	for _, c := range []struct {
		kind          value.Kind
		name          string
		bits, powers  int
		smallestPower int
		text          map[string]string
	}{
		{value.Float4, "real", 32, 38, -149, map[string]string{"1.5e10": "1.5000001e+10", "3e10": "3.0000001e+10", "6e10": "6.0000002e+10"}},
		{value.Float8, "double precision", 64, 308, -1074, map[string]string{"1e23": "9.999999999999999e+22"}},
	} {
		var floats []float64
		add := func(f float64) {
			if c.bits == 32 {
				f = float64(float32(f))
			}
			if !math.IsInf(f, 0) && f == f {
				floats = append(floats, f)
			}
		}
		for text := range c.text {
			f, _ := strconv.ParseFloat(text, c.bits)
			add(f)
		}
		for e := c.smallestPower; e < 1024; e++ { // where the floats below are nearer than those above
			add(math.Ldexp(1, e))
		}
		for e := -c.powers; e <= c.powers; e++ {
			for n := range 60 {
				f, _ := strconv.ParseFloat(fmt.Sprintf("%de%d", n-5, e), c.bits)
				add(f)
			}
		}
		for range 10000 {
			if c.bits == 32 {
				add(float64(math.Float32frombits(rng.Uint32())))
			} else {
				add(math.Float64frombits(rng.Uint64()))
			}
			// What few digits make, where digits can be midway.
			f, _ := strconv.ParseFloat(fmt.Sprintf("%de%d", rng.IntN(1_000_000), rng.IntN(35)), c.bits)
			add(f)
			add(math.Ldexp(float64(rng.IntN(1<<27)), rng.IntN(60)))
			// What is as near to one text as to another.
			add(math.Ldexp(float64(rng.IntN(1<<rng.IntN(20))), -rng.IntN(40)))
		}
		texts := make([]string, len(floats))
		for i, f := range floats {
			texts[i] = strconv.FormatFloat(f, 'e', 17, 64)
		}
		rows := exec(t, conn, fmt.Sprintf("SELECT x::%s::text FROM unnest('{%s}'::text[]) WITH ORDINALITY r(x, n) ORDER BY n", c.name, strings.Join(texts, ",")))
		wrong := 0
		for i, row := range rows {
			got := string(value.TextOf(c.kind, &value.Datum{Float: floats[i]}))
			if want := string(row[0]); got != want {
				if wrong++; wrong < 10 {
					t.Errorf("%s as %s is printed as %s, want %s", texts[i], c.name, got, want)
				}
			}
		}
		for text, want := range c.text {
			f, _ := strconv.ParseFloat(text, c.bits)
			if got := string(value.TextOf(c.kind, &value.Datum{Float: f})); got != want {
				t.Errorf("%s as %s is printed as %s, want %s", text, c.name, got, want)
			}
		}
	}
}
