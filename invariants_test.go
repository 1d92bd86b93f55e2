package shapebus_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestInvariantsNameTheirTests keeps docs/INVARIANTS.md true: every test it
// names exists in the package it names.
func TestInvariantsNameTheirTests(t *testing.T) {
	page, err := os.ReadFile("docs/INVARIANTS.md")
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	dir := ""
	for _, word := range regexp.MustCompile("`(?:services|internal|pkg|e2e)/[a-z/]+`|Test[A-Z][A-Za-z]+").FindAllString(string(page), -1) {
		if !strings.HasPrefix(word, "Test") {
			dir = strings.Trim(word, "`")
			continue
		}
		named++
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, f := range files {
			code, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			found = found || strings.Contains(string(code), "func "+word+"(")
		}
		if !found {
			t.Errorf("docs/INVARIANTS.md names %s, which is not in %s", word, dir)
		}
	}
	if named < 20 {
		t.Errorf("only %d tests are named; is the page read as it should be?", named)
	}
}

// TestDocsNameFilesThatExist: a newcomer looks for the files that a page names.
func TestDocsNameFilesThatExist(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var tree []string
	for _, f := range goFiles(t) {
		tree = append(tree, "/"+filepath.ToSlash(f.path))
	}
	named := 0
	for _, page := range append(pages, "README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("`([a-z0-9/_]+\\.go)`").FindAllStringSubmatch(string(text), -1) {
			named++
			if !slices.ContainsFunc(tree, func(path string) bool { return strings.HasSuffix(path, "/"+m[1]) }) {
				t.Errorf("%s names %s, which is nowhere", page, m[1])
			}
		}
	}
	if named < 20 {
		t.Errorf("only %d files are named; are the pages read as they should be?", named)
	}
}
