package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	xterm "golang.org/x/term"

	"github.com/shapebus/shapebus/internal/term"
)

const (
	drawEvery = 250 * time.Millisecond // on a terminal
	lineEvery = 2 * time.Second        // elsewhere
)

// board is what the screen shows again and again.
type board struct {
	shapes []boardRow
	toggle string // the last project that was switched on or off
	source string // the slot and the logs
	memory string
	brief  string // the same in a few words, for a line of a log
}

// boardRow is one shape and its subscriber.
type boardRow struct{ title, rows, transactions, fragments, latest string }

// screen shows the demo: lines that stay, and on a terminal a table below them that is redrawn in place; elsewhere a line every
// now and then. Safe for concurrent use.
type screen struct {
	w     *os.File
	tty   bool
	color term.Palette
	began time.Time

	mu       sync.Mutex // guards what follows
	board    func() board
	what     string // the phase
	progress string // within it, "" for none
	height   int    // lines of the table that stands below
}

func newScreen(cfg Config) *screen {
	return &screen{w: cfg.Out, tty: cfg.Terminal, color: term.Palette{On: cfg.Color}, began: time.Now()}
}

// say prints a line that stays.
func (v *screen) say(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clearLocked()
	fmt.Fprintf(v.w, format+"\n", args...)
	v.drawLocked()
}

// phase says what is going on, and how far it is.
func (v *screen) phase(what, progress string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.tty && v.board != nil && v.what != what {
		fmt.Fprintf(v.w, "%4.0f s  -- %s\n", time.Since(v.began).Seconds(), what)
	}
	v.what, v.progress = what, progress
	v.drawLocked()
}

// start begins to show a board.
func (v *screen) start(board func() board) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.board = board
	v.drawLocked()
}

// stop takes the board away.
func (v *screen) stop() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clearLocked()
	v.board = nil
}

// close leaves the last board standing.
func (v *screen) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.drawLocked()
	v.board = nil
}

// run shows the board until ctx ends.
func (v *screen) run(ctx context.Context) error {
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

func (v *screen) lineLocked() {
	if v.board == nil {
		return
	}
	fmt.Fprintf(v.w, "%4.0f s  %s\n", time.Since(v.began).Seconds(), v.board().brief)
}

func (v *screen) clearLocked() {
	if v.height > 0 {
		fmt.Fprintf(v.w, "\x1b[%dA\r\x1b[J", v.height)
		v.height = 0
	}
}

func (v *screen) drawLocked() {
	if !v.tty || v.board == nil {
		return
	}
	width, height, err := xterm.GetSize(int(v.w.Fd()))
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
func boardLines(b board, title string, width int, color term.Palette) []string {
	row := func(r boardRow) string {
		return fit(fmt.Sprintf("%s%*s%*s%*s  %s", inTitle(r.title), numberWidth, r.rows, numberWidth, r.transactions, numberWidth, r.fragments, r.latest), width)
	}
	lines := []string{
		color.Bold(fit(title, width)),
		"",
		color.Dim(row(boardRow{"subscriber of", "rows", "transactions", "fragments", "latest change"})),
	}
	for _, r := range b.shapes {
		lines = append(lines, row(r))
	}
	return append(lines, "", fit(b.toggle, width), color.Dim(fit(b.source, width)), color.Dim(fit(b.memory, width)))
}

// fit cuts text to a number of columns.
func fit(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return term.Cut(s, max(1, width-1))
}

// inTitle fills the first column of a table.
func inTitle(s string) string {
	return s + strings.Repeat(" ", max(0, titleWidth-utf8.RuneCountInString(s)))
}
