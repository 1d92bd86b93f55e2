package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// envPrefix is ours: a variable that begins with it and means nothing is a
// mistake that would otherwise be found in production.
const envPrefix = "SHAPEBUS_"

// environmentNames lists every variable with our prefix that some command reads, sorted.
func environmentNames(model *kong.Application) []string {
	names := []string{failpointVariable}
	var visit func(n *kong.Node)
	visit = func(n *kong.Node) {
		for _, f := range n.Flags {
			for _, name := range f.Envs {
				if strings.HasPrefix(name, envPrefix) {
					names = append(names, name)
				}
			}
		}
		for _, child := range n.Children {
			visit(child)
		}
	}
	visit(model.Node)
	slices.Sort(names)
	return slices.Compact(names)
}

// checkEnvironment refuses variables with our prefix that no command reads.
// Those of other commands are fine: processes often share an environment file.
func checkEnvironment(model *kong.Application, environ []string) error {
	known := environmentNames(model)
	var wrong []string
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, envPrefix) || slices.Contains(known, name) {
			continue
		}
		text := name
		if near := closest(name, known); near != "" {
			text += " (did you mean " + near + "?)"
		}
		wrong = append(wrong, text)
	}
	if len(wrong) == 0 {
		return nil
	}
	slices.Sort(wrong)
	return &usageError{text: fmt.Sprintf("unknown environment variable %s; unset it, or correct its name", strings.Join(wrong, ", "))}
}

// closest returns the candidate with the fewest edits from name, or "" if none is close enough to have been meant.
func closest(name string, candidates []string) string {
	best, distance := "", len(name)/4+1
	for _, c := range candidates {
		if d := edits(name, c); d < distance {
			best, distance = c, d
		}
	}
	return best
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
