package predicate

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// spellings are mutated at random; most mutants are no values at all.
var spellings = map[string][]string{
	"bool":      {"true", " T ", "f", "off", "of", "on", "o", "1", "0", "yes", "ye", "no", "n", "tru", "truex", "2", "", "TRUE\t"},
	"int2":      {"1", "-1", "+1", " 7 ", "32767", "32768", "-32768", "-32769", "007", "", "-", "1.0", "--1", "+-1", "1 2"},
	"int8":      {"9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "0", "-0", "000000000000000000000000001"},
	"numeric":   {"1", "1.", ".5", ".", "-.5e3", "1e5", "1E-5", "1e+5", "1e", "NaN", "nan", "-NaN", "inf", "-Infinity", "+inf", "1.50", " 1 ", "1e131071", "1e131072", "0.0001e400", "1e-16383", "0e-16383", "0e-16384", "1.0e-16382", "1.0e-16383", "100e-16385", "0e200000"},
	"float4":    {"1.1", "1e38", "1e39", "1e-45", "1e-46", "0e999", "nan", "-nan", "inf", "-INF", "infinity", "16777217", "-0", "1e-9999", ".", "1.e1"},
	"float8":    {"1.1", "1e308", "1e309", "5e-324", "1e-400", "0.0", "NaN", "+Infinity", " 2 ", "9007199254740993", "1d5", "1e5.5"},
	"uuid":      {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "{a0eebc999c0b4ef8bb6d6bb9bd380a11}", "A0EE-BC99-9C0B-4EF8-BB6D-6BB9-BD38-0A11", "a0eebc999c0b4ef8bb6d6bb9bd380a1", "{a0eebc999c0b4ef8bb6d6bb9bd380a11"},
	"date":      {"2024-02-29", "2023-02-29", "1900-02-29", "2000-02-29", "0001-01-01 BC", "0000-01-01", "5874897-12-31", "5874898-01-01", "4714-11-24 BC", "4714-11-23 BC", "infinity", " -Infinity", "2024-13-01", "2024-04-31", "10000-01-01", "2024-02-29T23:59:59.999Z", "2024-02-29 01:02:03", "2024-02-29T22:00:00.000+00:00", "2024-02-29T23:59:59.9999999Z"},
	"timestamp": {"2024-02-29 01:02:03.456789", "2024-02-29T01:02", "2024-02-29 23:59:59.9", "2024-02-29 24:00:00", "294276-12-31 23:59:59.999999", "294277-01-01", "4714-11-24 00:00:00 BC", "0044-03-15 12:00:00 BC", "infinity", "2024-02-29T01:02:03.456Z", "2024-02-29T01:02:03.456789123Z", "2024-02-29T01:02:03+00", "2024-12-31 23:59:59.9999996", "2024-02-29T01:02:03.0000005Z", "2024-02-29T01:02:03.0000015"},
	"time":      {"00:00", "24:00:00", "24:00:01", "23:59:59.999999", "1:02", "12:60", " 12:30:00.5 ", "25:00", "12:30:00.1234565", "23:59:59.9999999"},
	"interval": {
		"1 day", "1 year 2 mons 3 days 04:05:06.7", "-1 mons +2 days -00:00:01", "90 minutes", "3d", "2 weeks", "5", "1 hour 30 min", "00:00:00", "100:00", "-1 year", "1 yrs", "10 ms", "7 us",
		"1 day 1 day", "+3 hours", "1 mon 5",
	},
	"jsonb": {
		`{}`, ` [ 1 , 2 ] `, `{"b":1,"aa":2,"a":3,"b":4}`, `"\u00e9\ud83d\ude00\n\/"`, `1.50`, `-0`, `1e2`, `1E-3`, `01`, `[1,]`, `{"a"}`, `nul`, `"\u0000"`, `"\ud800"`, "\"\t\"", `-`, `[[],{"":{}}]`,
	},
	"int4[]":      {"{}", "{1,2}", "{1, NULL ,3}", "{{1,2},{3,4}}", "{{1},{2,3}}", "[0:1]={1,2}", "[0:2]={1,2}", "{1", "{1}}", " { 1 } ", "{,}", "{1,}", "{{}}", "[1:1][2:3]={{1,2}}"},
	"text[]":      {`{a,"b c",""}`, `{"a\"b\\c"}`, "{null,NULL,\"NULL\"}", "{a b, c }", `{"a"b}`, `{a\,b}`, `{é,日本}`},
	"timestamptz": {"2024-02-29 01:02:03Z", "2024-02-29T01:02:03+05:30", "2024-02-29 01:02-0330", "2024-02-29 01:02:03+15:59:59", "2024-02-29 01:02:03+16", "2024-02-29", "4714-11-24 00:00:00+01 BC", "294277-01-01 00:30:00+01", "294276-12-31 23:30:00-01", "-infinity", "2024-02-29T01:02:03.456Z", "2024-02-29T01:02:03.456789512+05:30"},
}

func TestConstantsAreReadAsPostgresReadsThem(t *testing.T) {
	conn := connect(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	accepted := 0
	for name, list := range spellings {
		k, _ := value.KindOfName(strings.TrimSuffix(name, "[]"))
		if strings.HasSuffix(name, "[]") {
			k |= value.ArrayOf
		}
		for i := range 400 {
			text := list[i%len(list)]
			if i >= len(list) {
				text = mutate(rng, text)
			}
			c, err := value.ParseConstant(k, text)
			if err != nil || !utf8.ValidString(text) {
				continue // stricter than Postgres on purpose; TestWellFormedConstantsAreAccepted has what must pass
			}
			accepted++
			sql := fmt.Sprintf("SELECT %s::%s = %s::%s, %s::%s::text", quoteLiteral(text), name, quoteLiteral(c.Text), name, quoteLiteral(text), name)
			rows, err := conn.Exec(t.Context(), sql).ReadAll()
			if err != nil {
				t.Errorf("only we accept %q as %s: %v", text, name, err)
				continue
			}
			same, theirs := string(rows[0].Rows[0][0]), string(rows[0].Rows[0][1])
			if same != "t" {
				t.Errorf("%q as %s is %q to us, %q to Postgres", text, name, c.Text, theirs)
			}
			exact := k.HasUniqueText() && k != value.Bool || k.IsTime() || k.IsTemporal() || k == value.JSONB || k.IsArray()
			if exact && theirs != c.Text {
				t.Errorf("%q as %s prints as %q here, as %q in Postgres", text, name, c.Text, theirs)
			}
		}
	}
	t.Logf("%d constants agree", accepted)
}

func mutate(rng *rand.Rand, s string) string {
	b := []byte(s)
	const letters = "0123456789 -+.:eEaTZBC{}[],\"\\"
	for range rng.IntN(3) {
		i := rng.IntN(len(b) + 1)
		c := letters[rng.IntN(len(letters))]
		switch {
		case i == len(b) || rng.IntN(3) == 0:
			b = append(b[:i:i], append([]byte{c}, b[i:]...)...)
		case rng.IntN(2) == 0:
			b = append(b[:i:i], b[i+1:]...)
		default:
			b[i] = c
		}
	}
	return string(b)
}

func TestWellFormedConstantsAreAccepted(t *testing.T) {
	for name, list := range map[string][]string{
		"bool":        {"true", " T ", "off", "of", "on", "1", "0", "YES", "n"},
		"time":        {"00:00", "24:00:00", " 12:30:00.5 "},
		"interval":    {"1 day", "1 year 2 mons 3 days 04:05:06.7", "-1 mons +2 days -00:00:01", "90 minutes", "3d", "2 weeks", "5", "1 hour 30 min", "100:00"},
		"jsonb":       {`{"b":1,"aa":2,"a":3,"b":4}`, `"\u00e9\ud83d\ude00\n\/"`, `1.50`, `-0`, `[[],{"":{}}]`},
		"int2":        {"+1", " 7 ", "-32768", "007"},
		"int8":        {"9223372036854775807", "-9223372036854775808", "000000000000000000000000001"},
		"numeric":     {"1.", ".5", "-.5e3", "1E-5", "1e+5", "nan", "-Infinity", "+inf", "1e131071", "1e-16383"},
		"float4":      {"1e38", "1e-45", "0e999", "nan", "-INF", "-0"},
		"float8":      {"1e308", "5e-324", "+Infinity", " 2 "},
		"uuid":        {"{a0eebc999c0b4ef8bb6d6bb9bd380a11}", "A0EE-BC99-9C0B-4EF8-BB6D-6BB9-BD38-0A11"},
		"date":        {"2024-02-29", "2000-02-29", "0001-01-01 BC", "5874897-12-31", "4714-11-24 BC", " -Infinity", "2024-02-29T23:59:59.999Z"},
		"timestamp":   {"2024-02-29 01:02:03.456789", "2024-02-29T01:02", "2024-02-29", "2024-02-29T01:02:03.456Z", "2024-02-29T01:02:03.123456789+00:00", "294276-12-31 23:59:59.999999", "4714-11-24 00:00:00 BC"},
		"timestamptz": {"2024-02-29 01:02:03Z", "2024-02-29T01:02:03+05:30", "2024-02-29 01:02-0330", "2024-02-29 01:02:03+15:59:59", "294277-01-01 00:30:00+01"},
	} {
		k, _ := value.KindOfName(name)
		for _, text := range list {
			if _, err := value.ParseConstant(k, text); err != nil {
				t.Errorf("%q as %s: %v", text, name, err)
			}
		}
	}
}

func TestCastsOfConstantsConvertAsPostgresDoes(t *testing.T) {
	conn := connect(t)
	values := []string{
		"0", "1", "-1", "2.5", "-2.5", "3.5", "0.5", "-0.5", "1.1", "0.30000000000000004", "1234567.891", "16777217", "9007199254740993",
		"4611686018427387904", "9223372036854775807", "1e20", "1e39", "1e-46", "2147483647.5", "32767.4", "NaN", "Infinity", "99999999999999.99",
	}
	kinds := []string{"int2", "int4", "int8", "numeric", "float4", "float8"}
	for _, v := range values {
		for _, from := range kinds {
			for _, to := range kinds {
				where := fmt.Sprintf("'%s'::%s::%s", v, from, to)
				rows, pgErr := conn.Exec(t.Context(), "SELECT "+where).ReadAll()
				p, err := Compile("n = "+where, nil, sample(), nil)
				if to == "float4" || to == "float8" {
					p, err = Compile("f8 = "+where, nil, sample(), nil)
				}
				if (err == nil) != (pgErr == nil) {
					t.Errorf("%s: we say %v, Postgres %v", where, err, pgErr)
					continue
				}
				if err != nil {
					continue
				}
				row := make([][]byte, 20)
				row[6], row[7] = rows[0].Rows[0][0], rows[0].Rows[0][0]
				if to == "float4" { // compare as float8, like the clause does
					wide, err := conn.Exec(t.Context(), "SELECT "+where+"::float8").ReadAll()
					if err != nil {
						t.Fatal(err)
					}
					row[6] = wide[0].Rows[0][0]
				}
				if !p.Match(row) {
					t.Errorf("%s is %s in Postgres, not for %s", where, row[7], p.SQL())
				}
			}
		}
	}
}
