package main

import (
	"fmt"
	"os"
	"reflect"
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
				if given = ""; blank(reflect.ValueOf(parsed.FlagValue(f))) {
					given = "--" + f.Name
				}
			}
		}
		if given != "" {
			return &usageError{text: fmt.Sprintf("%s is given and empty, so it would restrict nothing; give it a value, or do not give it at all", given)}
		}
	}
	return nil
}

// blank reports whether a flag's value is empty, or has an element that is.
func blank(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String:
		return strings.TrimSpace(v.String()) == ""
	case reflect.Slice:
		for i := range v.Len() {
			if blank(v.Index(i)) {
				return true
			}
		}
		return v.Len() == 0
	}
	return false
}
