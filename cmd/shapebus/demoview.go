package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

const (
	drawEvery = 250 * time.Millisecond // on a terminal
	lineEvery = 2 * time.Second        // elsewhere
)

// demoBoard is what the view shows again and again.
type demoBoard struct {
	shapes []boardRow
	toggle string // the last project that was switched on or off
	source string // the slot and the logs
	memory string
	brief  string // the same in a few words, for a line of a log
}

// boardRow is one shape and its subscriber.
type boardRow struct{ title, rows, transactions, fragments, latest string }

// demoView shows the demo: lines that stay, and on a terminal a table below them that is redrawn in place; elsewhere a line every
// now and then. Safe for concurrent use.
type demoView struct {
	w     *os.File
	tty   bool
	color palette
	began time.Time

	mu       sync.Mutex // guards what follows
	board    func() demoBoard
	what     string // the phase
	progress string // within it, "" for none
	height   int    // lines of the table that stands below
}

func newDemoView(out *console) *demoView {
	return &demoView{w: out.stdout, tty: out.stdoutTTY && os.Getenv("TERM") != "dumb", color: palette{out.color}, began: time.Now()}
}

// say prints a line that stays.
func (v *demoView) say(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clearLocked()
	fmt.Fprintf(v.w, format+"\n", args...)
	v.drawLocked()
}

// phase says what is going on, and how far it is.
func (v *demoView) phase(what, progress string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.tty && v.board != nil && v.what != what {
		fmt.Fprintf(v.w, "%4.0f s  -- %s\n", time.Since(v.began).Seconds(), what)
	}
	v.what, v.progress = what, progress
	v.drawLocked()
}

// start begins to show a board.
func (v *demoView) start(board func() demoBoard) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.board = board
	v.drawLocked()
}

// stop takes the board away.
func (v *demoView) stop() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clearLocked()
	v.board = nil
}

// close leaves the last board standing.
func (v *demoView) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.drawLocked()
	v.board = nil
}

// run shows the board until ctx ends.
func (v *demoView) run(ctx context.Context) error {
	every := lineEvery
	if v.tty {
		every = drawEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		v.mu.Lock()
		if v.tty {
			v.drawLocked()
		} else {
			v.lineLocked()
		}
		v.mu.Unlock()
	}
}

func (v *demoView) lineLocked() {
	if v.board == nil {
		return
	}
	fmt.Fprintf(v.w, "%4.0f s  %s\n", time.Since(v.began).Seconds(), v.board().brief)
}

func (v *demoView) clearLocked() {
	if v.height > 0 {
		fmt.Fprintf(v.w, "\x1b[%dA\r\x1b[J", v.height)
		v.height = 0
	}
}

func (v *demoView) drawLocked() {
	if !v.tty || v.board == nil {
		return
	}
	width, height, err := term.GetSize(int(v.w.Fd()))
	if err != nil || width <= 0 {
		width, height = 80, 24
	}
	title := v.what
	if v.progress != "" {
		title += ", " + v.progress
	}
	lines := boardLines(v.board(), fmt.Sprintf("%s  (%.0f s)", title, time.Since(v.began).Seconds()), width-1, v.color)
	lines = lines[:min(len(lines), max(1, height-1))] // what has scrolled away cannot be redrawn
	var b strings.Builder
	if v.height > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r", v.height)
	}
	for _, line := range lines {
		b.WriteString(line + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	_, _ = io.WriteString(v.w, b.String()) // a terminal that is gone needs no picture
	v.height = len(lines)
}

// Widths of the board's columns.
const (
	titleWidth  = 28
	numberWidth = 13
)

// boardLines lays a board out for a terminal of that many columns.
func boardLines(b demoBoard, title string, width int, color palette) []string {
	row := func(r boardRow) string {
		return fit(fmt.Sprintf("%s%*s%*s%*s  %s", inTitle(r.title), numberWidth, r.rows, numberWidth, r.transactions, numberWidth, r.fragments, r.latest), width)
	}
	lines := []string{
		color.bold(fit(title, width)),
		"",
		color.dim(row(boardRow{"subscriber of", "rows", "transactions", "fragments", "latest change"})),
	}
	for _, r := range b.shapes {
		lines = append(lines, row(r))
	}
	return append(lines, "", fit(b.toggle, width), color.dim(fit(b.source, width)), color.dim(fit(b.memory, width)))
}

// fit cuts text to a number of columns.
func fit(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return cut(s, max(1, width-1))
}

// inTitle fills the first column of a table.
func inTitle(s string) string {
	return s + strings.Repeat(" ", max(0, titleWidth-utf8.RuneCountInString(s)))
}
