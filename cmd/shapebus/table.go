package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/shapebus/shapebus/internal/term"
)

// table aligns what is printed. Its cells may hold what others wrote, names of tables and types for example: all are made safe to
// show.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer) table { return table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)} }

func (t table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = term.Printable(cell)
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

// line is a row of a name and what is formatted.
func (t table) line(name, format string, args ...any) { t.row(name, fmt.Sprintf(format, args...)) }

// end prints the table.
func (t table) end() error { return t.w.Flush() }
