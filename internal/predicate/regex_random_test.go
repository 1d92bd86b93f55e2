package predicate

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/internal/predicate/like"
	"github.com/shapebus/shapebus/internal/predicate/regex"
	"github.com/shapebus/shapebus/internal/predicate/value"
)

var regexLetters = []string{"a", "b", "A", "B", "c", "é", "É", "日", " ", "\n", "\t", "\v", "1", "_", "-", "%", ".", "\\", "]", "k", "K", "\u212a", "s", "ſ", "ß", "\u0085", "\u00a0", "٣", "$", "^"}

func (g *generator) regexText() string {
	var out strings.Builder
	for range g.IntN(9) {
		out.WriteString(pick(g, regexLetters[:2+g.IntN(len(regexLetters)-1)]))
	}
	return out.String()
}

func TestRegularExpressionsAgreeWithPostgres(t *testing.T) {
	seed := seedOf(t)
	conn := connect(t)
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 4))}
	exec(t, conn, "CREATE TABLE texts (n serial, t text)")
	const textsOfBatch, batches = 200, 10
	patterns, refused, matches := 0, 0, 0
	for patterns < *pairsFlag/textsOfBatch {
		var texts, quoted []string
		for range textsOfBatch {
			texts = append(texts, g.regexText())
			quoted = append(quoted, "("+quoteLiteral(texts[len(texts)-1])+")")
		}
		exec(t, conn, "TRUNCATE texts RESTART IDENTITY; INSERT INTO texts (t) VALUES "+strings.Join(quoted, ", "))
		for range *pairsFlag / textsOfBatch / batches {
			pattern, fold := g.regex(3), g.IntN(3) == 0
			match, err := regex.Compile(pattern, fold)
			sql := fmt.Sprintf(`SELECT string_agg(CASE WHEN t COLLATE "C" %s %s THEN 't' ELSE 'f' END, '' ORDER BY n) FROM texts`,
				map[bool]string{false: "~", true: "~*"}[fold], quoteLiteral(pattern))
			rows, theirErr := conn.Exec(t.Context(), sql).ReadAll()
			patterns++
			switch {
			case err != nil:
				refused++
				continue
			case theirErr != nil:
				t.Errorf("only Postgres refuses %q: %v", pattern, theirErr)
				continue
			}
			for i, text := range texts {
				ours := match.Match([]byte(text))
				if theirs := rows[0].Rows[0][0][i] == 't'; ours != theirs {
					t.Errorf("we say %t, Postgres %t of %q and %q (fold %t)", ours, theirs, text, pattern, fold)
					break
				}
				if ours {
					matches++
				}
				if ours && !likeOneOf(t, text, match.Needs(), fold) {
					t.Errorf("%q matches %q and is like none of %q", text, pattern, match.Needs())
				}
			}
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d patterns agree on %d texts each, %d matches; %d were refused", patterns-refused, textsOfBatch, matches, refused)
	if refused*3 > patterns || matches < patterns {
		t.Error("too many of the random patterns are refused, or match nothing")
	}
}

func likeOneOf(t *testing.T, text string, patterns []string, fold bool) bool {
	t.Helper()
	for _, pattern := range patterns {
		p, err := like.Compile(pattern, fold)
		if err != nil {
			t.Fatal(err)
		}
		if p.Match([]byte(text), &like.Buffers{}) {
			return true
		}
	}
	return len(patterns) == 0
}

// What Postgres reads in another way than people expect, or than other engines do, is refused with its place.
func TestRegularExpressionsOfOtherMeaningAreRefused(t *testing.T) {
	for _, pattern := range []string{
		"", "a|", "|a", "()", "a**", "a*+", "*a", "^*", "(?i)a", "(?=a)", "(?!a)", "(?<=a)", "(?<n>a)", `a\1`, `\m`, `\M`, `\b`, `\B`, `\z`, `\x41`, `\u0041`, `\0`, `\e`, `\pL`, `\`,
		"[", "[]", "[a", "[z-a]", "[a-c-e]", "[[.a.]]", "[[=a=]]", "[[:<:]]", "[[:cntrl:]]", "[[:nothing:]]", "[a[b]", `[\D]`, "[a-[:digit:]]", "[[:digit:]-z]", `[\d-z]`, "[--a]", "a{", "a{x}", "a{,2}",
		"a{2,1}", "a{256}", "a{2", "a)", "(a", "***=a", strings.Repeat("a", 2000), strings.Repeat("(", 60) + "a" + strings.Repeat(")", 60), "((a{100}){100})", "\xff",
	} {
		if _, err := regex.Compile(pattern, false); err == nil {
			t.Errorf("%q is not refused", pattern)
		} else if input, ok := err.(*value.InputError); !ok || input.Message == "" { //nolint:errorlint // it is returned as it is
			t.Errorf("%q: %v", pattern, err)
		}
	}
}
