package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/shapebus/shapebus/internal/failpoint"
)

// TestOperationsNamesWhatExists holds docs/OPERATIONS.md against the program:
// its flags, variables, metrics, failpoints and subjects.
func TestOperationsNamesWhatExists(t *testing.T) {
	data, err := os.ReadFile(root("docs/OPERATIONS.md"))
	if err != nil {
		t.Fatal(err)
	}
	doc := string(data)
	t.Run("flags", func(t *testing.T) {
		known := append(flagNames(model(t).Node), "jetstream", "store_dir", "scale", "set") // these are nats-server's, docker compose's and helm's
		for _, m := range regexp.MustCompile(`--([a-z][a-z_-]*)`).FindAllStringSubmatch(doc, -1) {
			if !slices.Contains(known, m[1]) {
				t.Errorf("there is no --%s", m[1])
			}
		}
	})
	t.Run("variables", func(t *testing.T) {
		for _, name := range regexp.MustCompile(`SHAPEBUS_[A-Z_]+[A-Z]`).FindAllString(doc, -1) {
			if !slices.Contains(environmentNames(model(t)), name) {
				t.Errorf("there is no %s", name)
			}
		}
	})
	t.Run("metrics, all of them", func(t *testing.T) {
		known := metricNames()
		for _, name := range regexp.MustCompile(`shapebus_(ingest|consumer|materializer|gateway|build)_[a-z_]+`).FindAllString(doc, -1) {
			if !slices.Contains(known, name) {
				t.Errorf("there is no %s", name)
			}
		}
		for _, name := range known {
			if !strings.Contains(doc, "`"+name+"`") {
				t.Errorf("%s is not documented", name)
			}
		}
	})
	t.Run("failpoints, all of them", func(t *testing.T) {
		_, paragraph, found := strings.Cut(doc, "**Testing crashes.**")
		if !found {
			t.Fatal("there is no paragraph about testing crashes")
		}
		paragraph, _, _ = strings.Cut(paragraph, "\n\n")
		var known []string
		for _, s := range []failpoint.Service{failpoint.Ingest, failpoint.Consumer, failpoint.Materializer, failpoint.Source} {
			for _, p := range failpoint.Of(s) {
				known = append(known, p.String())
			}
		}
		var listed []string
		for _, m := range regexp.MustCompile("`([a-z]+(_[a-z]+)+)`").FindAllStringSubmatch(paragraph, -1) {
			listed = append(listed, m[1])
		}
		if !slices.Equal(listed, known) {
			t.Errorf("the failpoints are\n%v\nand the paragraph lists\n%v", known, listed)
		}
	})
	t.Run("subjects, all of them", func(t *testing.T) {
		publish, subscribe := neededSubjects("main", "_INBOX.<user>", "")
		readerPublish, readerSubscribe := readerSubjects("main")
		for _, subject := range slices.Concat(publish, subscribe, readerPublish, readerSubscribe) {
			general := strings.ReplaceAll(subject, "main", "<source>")
			general = regexp.MustCompile(`>-\d`).ReplaceAllString(general, ">-<p>")
			if !strings.Contains(doc, "`"+general+"`") {
				t.Errorf("%s is not documented", general)
			}
		}
	})
}

func flagNames(n *kong.Node) (names []string) {
	for _, f := range n.Flags {
		names = append(names, f.Name)
	}
	for _, child := range n.Children {
		names = append(names, flagNames(child)...)
	}
	return names
}
