package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// filterFlags returns the bench of the filter index. It is a Go benchmark of the consumer, which nothing outside of it can look at.
func filterFlags(flags *flag.FlagSet) func(context.Context, *common) (*report, error) {
	period := flags.Duration("period", 500*time.Millisecond, "how long each case runs")
	count := flags.Int("count", 5, "runs, of which the medians count")
	shapes := flags.Int("shapes", 100_000, "leave out cases with more shapes than this")
	return func(ctx context.Context, env *common) (*report, error) {
		if *period < time.Millisecond || *count < 1 || *shapes < 1 {
			return nil, errors.New("-period must be at least 1ms, -count and -shapes at least 1")
		}
		return filter(ctx, env, *period, *count, *shapes)
	}
}

// filterCase is one case of the benchmark: the medians of its runs.
type filterCase struct {
	shapes               int
	match                bool
	ns, allocs, perShape []float64
}

// filter runs BenchmarkFilter and makes a table of what it says.
func filter(ctx context.Context, env *common, period time.Duration, count, shapes int) (*report, error) {
	sizes := slices.DeleteFunc([]int{1, 1000, 10_000, 100_000}, func(n int) bool { return n > shapes })
	var pattern []string
	for _, n := range sizes {
		pattern = append(pattern, strconv.Itoa(n))
	}
	args := []string{
		"test", "github.com/shapebus/shapebus/services/consumer/follow", "-short", "-run", "^$", "-timeout", "0",
		"-bench", "^BenchmarkFilter$/./^shapes=(" + strings.Join(pattern, "|") + ")$", "-benchtime", period.String(), "-count", strconv.Itoa(count),
	}
	env.say("go %s", strings.Join(args, " "))
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w\n%s%s", err, out.Bytes(), errs.Bytes())
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return nil, err
	}
	r := &report{
		title: "What one change costs the consumer beside so many live shapes: decoded fragment to decision, and for a match its log entry",
		machine: fmt.Sprintf("%s, %s, load %s after", time.Now().UTC().Format("2006-01-02 15:04 UTC"), procValue("/proc/cpuinfo", "model name"),
			strings.Join(strings.Fields(string(load))[:3], " ")),
		notes: []string{"Goals for user_id = $1: at most 300 ns without a match beside 100,000 shapes, at most 4 times that beside one; at most 2,048 bytes a shape.", ""},
	}
	r.table("", "shapes like", "of them", "ns, no match", "ns, a match", "allocations", "bytes a shape")
	names, cases, err := parseFilter(out.String())
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		for _, n := range sizes {
			var miss, hit filterCase
			for _, c := range cases[name] {
				switch {
				case c.shapes != n:
				case c.match:
					hit = *c
				default:
					miss = *c
				}
			}
			matched := ""
			if len(hit.ns) > 0 {
				matched = number(median(hit.ns))
			}
			r.row(name, strconv.Itoa(n), number(median(miss.ns)), matched, number(max(median(miss.allocs), median(hit.allocs))), number(median(miss.perShape)))
		}
	}
	r.filterFigures(cases[names[0]], sizes)
	r.likeFigures(cases, sizes)
	return r, nil
}

// filterFigures adds the figures of the plainest shapes, those with one equality, at the largest size that was run.
func (r *report) filterFigures(cases []*filterCase, sizes []int) {
	at := func(n int, match bool) *filterCase {
		i := slices.IndexFunc(cases, func(c *filterCase) bool { return c.shapes == n && c.match == match })
		return cases[max(i, 0)]
	}
	most := sizes[len(sizes)-1]
	suffix := fmt.Sprintf("%dk", most/1000)
	one, many := at(1, false), at(most, false)
	r.add("filter_ratio_"+suffix, median(many.ns)/median(one.ns), "x")
	r.add("filter_ns_nomatch_"+suffix, median(many.ns), "ns")
	r.add("filter_ns_match_"+suffix, median(at(most, true).ns), "ns")
	r.add("filter_bytes_per_shape", median(many.perShape), "B")
}

// likeFigures adds how many changes a second there is time for beside shapes with ILIKE 'x%', 10,000 if as many were run, and what
// a change costs beside the most shapes of the mix.
func (r *report) likeFigures(cases map[string][]*filterCase, sizes []int) {
	for name, of := range cases {
		for _, c := range of {
			switch {
			case c.match:
			case strings.Contains(name, "ILIKE") && c.shapes == min(10_000, sizes[len(sizes)-1]):
				r.add("filter_ilike_per_s", 1e9/median(c.ns), "changes/s")
			case strings.HasPrefix(name, "mix") && c.shapes == sizes[len(sizes)-1]:
				r.add("filter_mix_ns", median(c.ns), "ns")
			}
		}
	}
}

var filterLine = regexp.MustCompile(`^BenchmarkFilter/(.+)/shapes=(\d+)/(no|one)_match(?:-\d+)?\s+\d+\s+(.*)$`)

// parseFilter reads the benchmark's output. names are the kinds of shapes in their order.
func parseFilter(out string) (names []string, cases map[string][]*filterCase, err error) {
	cases = map[string][]*filterCase{}
	for line := range strings.Lines(out) {
		m := filterLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		name := strings.ReplaceAll(m[1], "_", " ")
		name = strings.ReplaceAll(strings.ReplaceAll(name, "user id", "user_id"), "project id", "project_id")
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		n, err := strconv.Atoi(m[2])
		if err != nil {
			return nil, nil, err
		}
		i := slices.IndexFunc(cases[name], func(c *filterCase) bool { return c.shapes == n && c.match == (m[3] == "one") })
		if i < 0 {
			i = len(cases[name])
			cases[name] = append(cases[name], &filterCase{shapes: n, match: m[3] == "one"})
		}
		c := cases[name][i]
		fields := strings.Fields(m[4])
		for f := 0; f+1 < len(fields); f += 2 {
			v, err := strconv.ParseFloat(fields[f], 64)
			if err != nil {
				return nil, nil, fmt.Errorf("%q: %w", line, err)
			}
			switch fields[f+1] {
			case "ns/change":
				c.ns = append(c.ns, v)
			case "allocs/op":
				c.allocs = append(c.allocs, v/100) // an iteration is a hundred changes
			case "B/shape":
				c.perShape = append(c.perShape, v)
			}
		}
	}
	if len(names) == 0 {
		return nil, nil, fmt.Errorf("go test printed no benchmark:\n%s", out)
	}
	return names, cases, nil
}
