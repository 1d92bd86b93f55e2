package shapebus_test

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

var rewrap = flag.Bool("wrap", false, "wrap the prose of the pages that TestProseIsWrapped finds too wide")

// proseWidth is where the prose of README.md and docs/ is wrapped. Tables, code blocks and headings are as wide as they
// must be.
const proseWidth = 120

// TestProseIsWrapped keeps one width; go test -run TestProseIsWrapped . -wrap makes it so.
func TestProseIsWrapped(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(pages, "README.md") {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		page := wrapped(string(data))
		if page == string(data) {
			continue
		}
		if !*rewrap {
			t.Errorf("%s has prose that is wider than %d: go test -run TestProseIsWrapped . -wrap", name, proseWidth)
			continue
		}
		if err := os.WriteFile(name, []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWrappedTouchesProseOnly(t *testing.T) {
	long := strings.TrimSpace(strings.Repeat("word ", 30))
	first, rest := long[:119], long[120:]
	for name, c := range map[string]struct{ page, want string }{
		"a paragraph":              {long + "\nmore\n", first + "\n" + rest + " more\n"},
		"a statement of its own":   {long + ".\nMore.\n", first + "\n" + rest + ".\nMore.\n"},
		"an item of a list":        {"- " + long + "\n- b\n", "- " + first[:114] + "\n  " + first[115:] + " " + rest + "\n- b\n"},
		"a numbered item":          {"10. " + long + "\n", "10. " + first[:114] + "\n    " + first[115:] + " " + rest + "\n"},
		"code that is in a line":   {first[:114] + " `a b`\n", first[:114] + " `a b`\n"},
		"code that does not fit":   {first[:114] + " `a b c`\n", first[:114] + "\n`a b c`\n"},
		"what would begin a list":  {first[:114] + " word - x\n", first[:114] + "\nword - x\n"},
		"prose that fits is alone": {"a\nb\n", "a\nb\n"},
		"a table":                  {"| " + long + " |\n", "| " + long + " |\n"},
		"a heading":                {"# " + long + "\n", "# " + long + "\n"},
		"a block of code":          {"```\n" + long + "\n```\n", "```\n" + long + "\n```\n"},
	} {
		if got := wrapped(c.page); got != c.want {
			t.Errorf("%s:\n%q\nwant\n%q", name, got, c.want)
		}
		if again := wrapped(c.want); again != c.want {
			t.Errorf("%s is not left as it is:\n%q", name, again)
		}
	}
}

var (
	listItem = regexp.MustCompile(`^\s*([-*+]|\d+[.)])\s+`)
	marker   = regexp.MustCompile(`^([-+*>#]+|\d+[.)]|\|.*)$`)
)

// wrapped is a page whose paragraphs with too wide lines are wrapped. Where a line ends with
// a sentence the break stays, so that statements that have lines of their own keep them.
func wrapped(page string) string {
	var out, paragraph []string
	flush := func() {
		out = append(out, wrapParagraph(paragraph)...)
		paragraph = nil
	}
	code := false
	for line := range strings.SplitSeq(page, "\n") {
		text := strings.TrimSpace(line)
		fence := strings.HasPrefix(text, "```")
		switch {
		case fence || code || text == "" || text[0] == '|' || text[0] == '#' || text[0] == '<':
			flush()
			out = append(out, line)
			code = code != fence
		case listItem.MatchString(line):
			flush()
			paragraph = []string{line}
		default:
			paragraph = append(paragraph, line)
		}
	}
	flush()
	return strings.Join(out, "\n")
}

func wrapParagraph(lines []string) []string {
	if !slices.ContainsFunc(lines, func(l string) bool { return utf8.RuneCountInString(l) > proseWidth }) {
		return lines
	}
	lead := listItem.FindString(lines[0])
	indent := strings.Repeat(" ", utf8.RuneCountInString(lead))
	if lead == "" {
		lead = lines[0][:len(lines[0])-len(strings.TrimLeft(lines[0], " "))]
		indent = lead
	}
	lines = slices.Clone(lines)
	lines[0] = lines[0][len(lead):]
	var out []string
	line := lead
	width, empty := utf8.RuneCountInString(lead), true
	end := func() {
		out = append(out, line)
		line, width, empty = indent, len(indent), true
	}
	for i, l := range lines {
		if i > 0 && strings.HasSuffix(lines[i-1], ".") && !empty {
			end()
		}
		for _, word := range words(l) {
			n := utf8.RuneCountInString(word)
			if !empty && width+1+n > proseWidth {
				end()
			}
			if !empty {
				line, width = line+" ", width+1
			}
			line, width, empty = line+word, width+n, false
		}
	}
	if !empty {
		out = append(out, line)
	}
	return out
}

// words are what a line may be broken between: code stays whole, and no line begins with what would be a mark there.
func words(line string) []string {
	var all []string
	open := false
	for w := range strings.FieldsSeq(line) {
		if n := len(all); n > 0 && (open || marker.MatchString(w)) {
			all[n-1] += " " + w
		} else {
			all = append(all, w)
		}
		open = open != (strings.Count(w, "`")%2 == 1)
	}
	return all
}
