package term

import (
	"fmt"
	"io"
	"time"
)

// redrawEvery is how often a line of progress is redrawn.
const redrawEvery = 200 * time.Millisecond

// Progress is one line on a terminal that is written over and over. Elsewhere, and if it is zero, it shows nothing. Not safe for concurrent use.
type Progress struct {
	w     io.Writer
	on    bool
	drawn time.Time // zero while no line stands there
}

// NewProgress returns a line on w; on says whether w is a terminal.
func NewProgress(w io.Writer, on bool) Progress { return Progress{w: w, on: on} }

// Due reports whether it is time to draw again.
func (p *Progress) Due(now time.Time) bool { return p.on && now.Sub(p.drawn) >= redrawEvery }

// Draw replaces the line.
func (p *Progress) Draw(now time.Time, format string, args ...any) {
	if !p.on {
		return
	}
	p.drawn = now
	fmt.Fprintf(p.w, "\r\x1b[K"+format, args...)
}

// Clear removes the line, before other output.
func (p *Progress) Clear() {
	if p.on && !p.drawn.IsZero() {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = time.Time{}
	}
}
