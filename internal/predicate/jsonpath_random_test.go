package predicate

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/internal/predicate/jsonpath"
)

var (
	jsonScalars = []string{"null", "true", "false", "0", "1", "1.0", "-1", "2", "100", "0.5", "-0.0", "12345678901234567890", `""`, `"a"`, `"ab"`, `"b"`, `"é"`, `"日"`, `"a\"b"`, `"\n"`, `"\\"`, `"\\n"`, `"1"`, `"\u0001"`, `"/"`}
	jsonKeys    = []string{`"a"`, `"b"`, `"c"`, `"é"`, `"a b"`, `"last"`}
)

// document makes a random value of JSON.
func (g *generator) document(depth int) string {
	if depth <= 0 || g.IntN(3) == 0 {
		return pick(g, jsonScalars)
	}
	var parts []string
	object := g.IntN(2) == 0
	for range g.IntN(4) {
		part := g.document(depth - 1)
		if object {
			part = pick(g, jsonKeys) + ": " + part
		}
		parts = append(parts, part)
	}
	if object {
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// blank is none, mostly.
func (g *generator) blank() string { return pick(g, []string{"", "", "", " ", "\n "}) }

// jsonPath makes a random path; of what is of the language, and of what is not.
func (g *generator) jsonPath(root string, depth int) string {
	var out strings.Builder
	out.WriteString(root)
	for range g.IntN(4) {
		out.WriteString(g.blank())
		switch n := g.IntN(12); {
		case n < 5:
			out.WriteString("." + g.blank() + pick(g, append([]string{"a", "b", "c", "é", "last", "to", "exists", "true", `"\u0061"`}, jsonKeys...)))
		case n == 5:
			out.WriteString(".*")
		case n < 8:
			out.WriteString("[" + g.blank() + "*]")
		case n == 8:
			place := func() string { return pick(g, []string{"0", "1", "2", "7", "last", "last - 1", "last-2"}) }
			out.WriteString("[" + pick(g, []string{place(), place() + " to " + place(), place() + "," + place(), place() + " to " + place() + ", " + place()}) + "]")
		case n == 9 && g.IntN(4) == 0:
			out.WriteString(pick(g, []string{".**", ".size()", ".type()", "[-1]", "[1.5]", ".1", "['a']", "[]", ".a.", "..a", "[$.a]", ".double()", " + 1"}))
		case depth > 0:
			out.WriteString("?" + g.blank() + "(" + g.jsonCondition("@", depth-1) + ")")
		}
	}
	return out.String()
}

// jsonCondition makes a random predicate of a path.
func (g *generator) jsonCondition(root string, depth int) string {
	literal := func() string {
		return pick(g, append([]string{"- 1", "1e2", "-1.50", "0.10", `"\u00e9"`, `"\/"`}, jsonScalars...))
	}
	op := pick(g, []string{"==", "==", "!=", "<>", "<", "<=", ">", ">="})
	if depth > 0 {
		sub := func() string { return g.jsonCondition(root, depth-1) }
		switch g.IntN(7) {
		case 0:
			return sub() + pick(g, []string{" && ", "&&"}) + sub()
		case 1:
			return sub() + pick(g, []string{" || ", "||"}) + sub()
		case 2:
			return "!" + g.blank() + "(" + sub() + ")"
		case 3:
			return "(" + sub() + ") is unknown"
		case 4:
			return pick(g, []string{"", "!", "! "}) + "exists (" + g.jsonPath(root, depth-1) + ")"
		}
	}
	switch n := g.IntN(40); {
	case n == 0:
		return pick(g, []string{"1 == 1", root, root + " == " + root + ".a", "true", root + ".a + 1 > 2", root + ` like_regex "a"`, root + " = 1", "not (" + root + " == 1)", "$x == 1", root + ".a == $.b", "(" + root + ".a) == 1", root + ` == '1'`, root + " == 01", root + " == 1.e5", root + " is unknown"})
	case n < 6:
		return g.jsonPath(root, depth-1) + " starts with " + pick(g, []string{`""`, `"a"`, `"\n"`, `"é"`, `"\\"`, `"a\""`, `"1"`})
	case n < 10:
		return literal() + " " + op + " " + g.jsonPath(root, depth-1)
	}
	return g.jsonPath(root, depth-1) + g.blank() + op + g.blank() + literal()
}

func TestJSONPathsAgreeWithPostgres(t *testing.T) {
	seed := seedOf(t)
	conn := connect(t)
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 5))}
	exec(t, conn, "CREATE TABLE documents (n serial, d jsonb)")
	const ofBatch, batches = 200, 10
	paths, refused, yes, unknown := 0, 0, 0, 0
	for paths < *pairsFlag/ofBatch {
		quoted := make([]string, ofBatch)
		for i := range quoted {
			quoted[i] = "(" + quoteLiteral(g.document(1+g.IntN(4))) + ")"
		}
		exec(t, conn, "TRUNCATE documents RESTART IDENTITY; INSERT INTO documents (d) VALUES "+strings.Join(quoted, ", "))
		documents := exec(t, conn, "SELECT d FROM documents ORDER BY n")
		for range *pairsFlag / ofBatch / batches {
			paths++
			op, text := "@?", g.jsonPath("$", 3)
			compile := jsonpath.CompilePath
			if g.IntN(2) == 0 {
				op, text, compile = "@@", g.jsonCondition("$", 3), jsonpath.CompilePredicate
			}
			text = pick(g, []string{"", "", " ", "lax "}) + text
			path, err := compile(text)
			ask := func(text string) (string, error) {
				rows, err := conn.Exec(t.Context(), fmt.Sprintf("SELECT string_agg(coalesce((d %s %s)::text, 'unknown'), ' ' ORDER BY n) FROM documents", op, quoteLiteral(text))).ReadAll()
				if err != nil {
					return "", err
				}
				return string(rows[0].Rows[0][0]), nil
			}
			theirs, theirErr := ask(text)
			if err != nil {
				refused++
				continue
			}
			printed, printedErr := ask(path.String())
			if theirErr != nil || printedErr != nil || theirs != printed {
				t.Errorf("%q prints as %q: %v, %v, equal %t", text, path.String(), theirErr, printedErr, theirs == printed)
				continue
			}
			if again, err := compile(path.String()); err != nil || again.String() != path.String() {
				t.Errorf("%q is read again as %q: %v", path.String(), again, err)
			}
			for i, answer := range strings.Fields(theirs) {
				document := documents[i][0]
				ours := "false"
				switch {
				case op == "@?" && path.Exists(document), op == "@@" && path.Test(document) == jsonpath.Yes:
					ours = "true"
					yes++
				case op == "@@" && path.Test(document) == jsonpath.Unknown:
					ours = "unknown"
					unknown++
				}
				if ours != answer {
					t.Errorf("we say %s, Postgres %s: SELECT %s::jsonb %s %s;", ours, answer, quoteLiteral(string(document)), op, quoteLiteral(text))
					break
				}
			}
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d paths agree on %d documents each: %d times true, %d unknown; %d were refused", paths-refused, ofBatch, yes, unknown, refused)
	if refused*2 > paths || yes < 10*paths || unknown < paths {
		t.Error("too many of the random paths are refused, or find nothing")
	}
}
