package like

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// naiveLike is the definition of LIKE, by recursion over characters.
func naiveLike(text, pattern []rune) bool {
	if len(pattern) == 0 {
		return len(text) == 0
	}
	switch pattern[0] {
	case '%':
		for i := 0; i <= len(text); i++ {
			if naiveLike(text[i:], pattern[1:]) {
				return true
			}
		}
		return false
	case '\\':
		pattern = pattern[1:]
	case '_':
		return len(text) > 0 && naiveLike(text[1:], pattern[1:])
	}
	return len(text) > 0 && text[0] == pattern[0] && naiveLike(text[1:], pattern[1:])
}

func asciiLower(s string) string { return string(Fold(nil, []byte(s))) }

func checkLike(t interface {
	Fatalf(string, ...any)
}, text, pattern string, fold bool,
) {
	p, err := Compile(pattern, fold)
	if err != nil {
		return
	}
	got := p.Match([]byte(text), &Buffers{})
	if fold {
		text, pattern = asciiLower(text), asciiLower(pattern)
	}
	if want := naiveLike([]rune(text), []rune(pattern)); got != want {
		t.Fatalf("%q LIKE %q (fold %v): got %v, want %v", text, pattern, fold, got, want)
	}
}

func TestLikeFollowsItsDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.RuneFrom([]rune("aAbBéÉ日\n")), 0, 12, -1).Draw(t, "text")
		pattern := rapid.StringOfN(rapid.RuneFrom([]rune(`aAbBéÉ日%%%__\`)), 0, 8, -1).Draw(t, "pattern")
		checkLike(t, text, pattern, rapid.Bool().Draw(t, "fold"))
	})
}

func TestHostileLikePatternsTakeBoundedTime(t *testing.T) {
	text := []byte(strings.Repeat("a", 4_000_000))
	for _, pattern := range []string{
		strings.Repeat("%a", 2000) + "b",
		strings.Repeat("a%", 2000) + "b%",
		"%" + strings.Repeat("a", 4000) + "b%",
		"%_" + strings.Repeat("a", 4000) + "b%",
		"%" + strings.Repeat("_", 100) + "b%",
		"%" + strings.Repeat("a_", 100) + strings.Repeat("a", 50) + "b%",
		"%" + strings.Repeat("_a", 100) + "b%",
		"%a" + strings.Repeat("%"+strings.Repeat("_", 100), 70) + "b%",
	} {
		p, err := Compile(pattern, false)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if p.Match(text, &Buffers{}) {
			t.Errorf("%.20s… matches", pattern)
		}
		// Some hundredths of a second in practice; it was seconds while a part was tried at every character.
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%.20s… took %v", pattern, took)
		}
	}
	for _, pattern := range []string{strings.Repeat("a", maxPattern+1), "%" + strings.Repeat("_", maxFloating+1) + "%", "%a_" + strings.Repeat("a", maxWild) + "%"} {
		if _, err := Compile(pattern, false); err == nil {
			t.Errorf("%.20s… is accepted", pattern)
		}
	}
}

// A pattern from a row is matched by the same means when it is large.
func TestLargePatternsFromRowsFollowTheDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.RuneFrom([]rune("aAbé\n")), 0, 12, -1).Draw(t, "text")
		pattern := rapid.StringOfN(rapid.RuneFrom([]rune(`aAbé%%__\`)), 0, 10, -1).Draw(t, "pattern")
		if !Complete([]byte(pattern)) {
			t.Skip("Postgres does not take it")
		}
		want := naiveLike([]rune(text), []rune(pattern))
		if got := matchStepwise([]byte(text), []byte(pattern)); got != want {
			t.Fatalf("%q LIKE %q, step by step: got %v, want %v", text, pattern, got, want)
		}
		if got := matchCompiled([]byte(text), []byte(pattern)); got != want {
			t.Fatalf("%q LIKE %q, compiled: got %v, want %v", text, pattern, got, want)
		}
	})
	text := []byte(strings.Repeat("ab", 50_000))
	for _, pattern := range []string{"%" + strings.Repeat("ab", 20_000) + "b%", "%a_" + strings.Repeat("ab", 20_000) + "b%"} {
		start := time.Now()
		if Match(text, []byte(pattern)) {
			t.Errorf("%.20s… matches", pattern)
		}
		if took := time.Since(start); took > 5*time.Second { // a tenth of one in practice; it was 4 billion steps
			t.Errorf("%.20s… took %v", pattern, took)
		}
	}
}

func FuzzLike(f *testing.F) {
	f.Add("abc", "a%_", false)
	f.Add("É\n", `\É%`, true)
	f.Fuzz(func(t *testing.T, text, pattern string, fold bool) {
		if len(text) > 60 || strings.Count(pattern, "%") > 5 || len(pattern) > 60 || !utf8.ValidString(text) || !utf8.ValidString(pattern) {
			return // the definition is exponential
		}
		checkLike(t, text, pattern, fold)
	})
}
