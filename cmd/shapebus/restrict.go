package main

import (
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// restricts is the tag of flags that restrict who may do what, and restrict nothing when they are not given.
const restricts = "restricts"

// checkRestrictions refuses such flags when they are given and empty, as a variable is that was meant to be set: they would
// restrict nothing, and nobody would notice.
func checkRestrictions(parsed *kong.Context) error {
	for _, f := range parsed.Flags() {
		if !f.Tag.Has(restricts) {
			continue
		}
		given := ""
		for _, name := range f.Envs {
			if text, ok := os.LookupEnv(name); ok && strings.TrimSpace(text) == "" {
				given = name
			}
		}
		for _, p := range parsed.Path {
			if p.Flag == f && !p.Resolved {
				if given = ""; blank(parsed.FlagValue(f)) {
					given = "--" + f.Name
				}
			}
		}
		if given != "" {
			return &usageError{text: given + " is given and empty, so it would restrict nothing; give it a value, or do not give it at all"}
		}
	}
	return nil
}

// blank reports whether a flag's value is empty, or has an element that is.
func blank(value any) bool {
	switch v := value.(type) {
	case string:
		return strings.TrimSpace(v) == ""
	case []string:
		return len(v) == 0 || slices.ContainsFunc(v, func(s string) bool { return blank(s) })
	}
	return false
}
