package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// report is the result of a bench: tables for people, figures for machines.
type report struct {
	title   string
	machine string
	tables  []reportTable
	notes   []string
	figures []figure
}

// reportTable is a table with a line above it, "" for none.
type reportTable struct {
	title string
	rows  [][]string // the first one is its head
}

type figure struct {
	name  string
	value float64
	unit  string
}

func (r *report) add(name string, value float64, unit string) {
	r.figures = append(r.figures, figure{name, value, unit})
}

// table begins a table; row adds to the one begun last.
func (r *report) table(title string, head ...string) {
	r.tables = append(r.tables, reportTable{title, [][]string{head}})
}

func (r *report) row(cells ...string) {
	t := &r.tables[len(r.tables)-1]
	t.rows = append(t.rows, cells)
}

func (r *report) write(w io.Writer) error {
	fmt.Fprintf(w, "%s\n%s\n\n", r.title, r.machine)
	for _, t := range r.tables {
		if t.title != "" {
			fmt.Fprintln(w, t.title)
		}
		table := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
		for _, row := range t.rows {
			fmt.Fprintf(table, "%s\t\n", strings.Join(row, "\t"))
		}
		if err := table.Flush(); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	for _, note := range r.notes {
		fmt.Fprintln(w, note)
	}
	for _, f := range r.figures {
		if _, err := fmt.Fprintf(w, "figure %s %s %s\n", f.name, number(f.value), f.unit); err != nil {
			return err
		}
	}
	return nil
}

// number prints a value with as many decimals as mean something.
func number(v float64) string {
	if math.Abs(v) < 0.005 {
		v = 0 // not -0.00
	}
	if v >= 1000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// machine describes where and when the figures come from. The load average tells whether the machine was quiet.
func (l *lab) machine(ctx context.Context) (string, error) {
	var version string
	if err := l.db.QueryRow(ctx, "SHOW server_version").Scan(&version); err != nil {
		return "", err
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "", err
	}
	kib, err := strconv.ParseFloat(strings.TrimSuffix(procValue("/proc/meminfo", "MemTotal"), " kB"), 64)
	if err != nil {
		return "", fmt.Errorf("size of the memory: %w", err)
	}
	return fmt.Sprintf("%s, %d CPUs (%s), %.0f GiB memory, %s, Postgres %s, %s/%s, load %s before", time.Now().UTC().Format("2006-01-02 15:04 UTC"),
		runtime.NumCPU(), procValue("/proc/cpuinfo", "model name"), kib/(1<<20), runtime.Version(), version, runtime.GOOS, runtime.GOARCH,
		strings.Join(strings.Fields(string(load))[:3], " ")), nil
}

// procValue is the value of the first line "name : value" in a file of /proc, "" if there is none.
func procValue(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// median of a few values, 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// percentile is the smallest value that is not exceeded by a share of all; values are sorted and not none.
func percentile(sorted []time.Duration, share float64) time.Duration {
	i := int(share*float64(len(sorted))+0.5) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
