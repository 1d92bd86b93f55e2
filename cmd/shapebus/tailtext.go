package main

import (
	"bufio"
	"fmt"
	"strings"
	"time"

	"github.com/shapebus/shapebus/internal/term"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
)

// eventPrinter shows a subscription's events. end is called when there are no more.
type eventPrinter interface {
	print(e client.Event) error
	end()
}

// valueWidth is the length at which a value is cut on a terminal.
const valueWidth = 72

// textPrinter prints each transaction as a block of lines.
type textPrinter struct {
	w     *bufio.Writer
	color term.Palette
	line  term.Progress
	limit int // rows shown of one transaction; 0 = all
	width int // characters shown of one value; 0 = all

	begin   client.Begin
	started time.Time // when the transaction's first event came
	seen    int64     // changes of the open transaction
}

func newTextPrinter(w *bufio.Writer, out *console, limit int) *textPrinter {
	p := &textPrinter{w: w, color: term.Palette{On: out.color}, line: term.NewProgress(out.stderr, out.stdoutTTY && out.stderrTTY), limit: limit}
	if out.stdoutTTY {
		p.width = valueWidth
	}
	return p
}

func (p *textPrinter) end() { p.line.Clear() }

func (p *textPrinter) print(e client.Event) error {
	switch e := e.(type) {
	case client.Begin:
		p.begin, p.started, p.seen = e, time.Now(), 0
		return p.head()
	case client.Change:
		p.seen++
		if p.limit == 0 || p.seen <= int64(p.limit) {
			return p.change(e)
		}
		return p.skip()
	case client.Commit:
		return p.commit(e)
	case client.Abort:
		p.line.Clear()
		fmt.Fprintln(p.w, p.color.Red("  aborted: the server began this again, so what is above since the last commit does not count"))
		return p.w.Flush()
	case client.CaughtUp:
		p.line.Clear()
	}
	return p.w.Flush()
}

func (p *textPrinter) head() error {
	p.line.Clear()
	title := p.begin.Time.Local().Format("2006-01-02 15:04:05.000")
	if p.begin.Snapshot {
		title = "snapshot"
	}
	fmt.Fprint(p.w, p.color.Bold(title))
	if p.begin.Snapshot {
		fmt.Fprint(p.w, p.color.Dim("  "+term.Plural(p.begin.Rows, "row")))
	} else {
		if p.begin.Unit {
			fmt.Fprint(p.w, "  unit of transactions, from")
		}
		fmt.Fprint(p.w, p.color.Dim(fmt.Sprintf("  lsn %s  xid %d", p.begin.LSN, p.begin.XID)))
	}
	_, err := fmt.Fprintln(p.w)
	return err
}

func (p *textPrinter) change(c client.Change) error {
	mark, paint := "?", p.color.Dim
	switch c.Kind {
	case change.Insert:
		mark, paint = "+", p.color.Green
	case change.Update:
		mark, paint = "~", p.color.Yellow
	case change.Delete, change.Discard:
		mark, paint = "-", p.color.Red
	case change.Upsert:
		mark, paint = "*", p.color.Yellow
	case change.Truncate:
		_, err := fmt.Fprintln(p.w, "  "+p.color.Red("- every row (truncate)"))
		return err
	}
	_, err := fmt.Fprintln(p.w, "  "+paint(mark+" "+rowText(c.Row, p.width)))
	return err
}

// skip shows how far a large transaction has come instead of its rows.
func (p *textPrinter) skip() error {
	now := time.Now()
	if !p.line.Due(now) {
		return nil
	}
	if err := p.w.Flush(); err != nil {
		return err
	}
	of := ""
	if p.begin.Snapshot {
		of = " of " + term.Count(p.begin.Rows)
	}
	p.line.Draw(now, "  … %s%s rows, %s", term.Count(p.seen), of, term.Rate(p.seen, now.Sub(p.started)))
	return nil
}

func (p *textPrinter) commit(c client.Commit) error {
	p.line.Clear()
	if hidden := p.seen - int64(p.limit); p.limit > 0 && hidden > 0 {
		fmt.Fprintln(p.w, p.color.Dim(fmt.Sprintf("  … and %s more (--rows 0 shows all)", term.Count(hidden))))
	}
	thing := "change"
	if c.Snapshot {
		thing = "row"
	}
	fmt.Fprintln(p.w, p.color.Dim(fmt.Sprintf("  = %s, position %s", term.Plural(p.seen, thing), c.Position())))
	return p.w.Flush()
}

// rowText writes a row as name=value, values quoted where they could be mistaken.
func rowText(r client.Row, width int) string {
	var b strings.Builder
	for i := range r.Len() {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(term.Printable(r.Column(i).Name))
		b.WriteByte('=')
		switch v := r.At(i); {
		case r.Unchanged(i):
			b.WriteString("(unchanged)")
		case v == nil:
			b.WriteString("NULL")
		default:
			b.WriteString(valueText(string(v), width))
		}
	}
	return b.String()
}

func valueText(v string, width int) string {
	v = term.Cut(v, width)
	plain := v != "" && v != "NULL" && !strings.ContainsFunc(v, func(r rune) bool {
		return term.IsControl(r) || strings.ContainsRune(" '=,()", r)
	})
	if plain {
		return v
	}
	return "'" + term.Printable(strings.ReplaceAll(v, "'", "''")) + "'"
}
